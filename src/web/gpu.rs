//! A GPU for burn in the browser, opened here and not by burn, so that its loss can be told from other failures and a
//! new one can be opened afterwards.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use burn::tensor::Device;
use burn::tensor::wgpu::WgpuSetup;
use burn::tensor::wgpu::wgpu::{self, Backend, Backends, Features, PowerPreference};

use crate::Error;

/// A GPU in use. When dropped, everything on it is given back at once.
pub(super) struct Gpu {
    device: wgpu::Device,
    loss: Loss,
}

impl Gpu {
    /// Asks the browser for its fastest GPU; burn's handle comes with it.
    ///
    /// # Errors
    /// [`Error::NoGpu`].
    pub(super) async fn open() -> Result<(Self, Device), Error> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: Backends::BROWSER_WEBGPU,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let wish =
            wgpu::RequestAdapterOptions { power_preference: PowerPreference::HighPerformance, ..Default::default() };
        let adapter = instance.request_adapter(&wish).await.map_err(no_gpu)?;
        // burn looks at what the adapter can do, so the device must be able to do all of it.
        let descriptor = wgpu::DeviceDescriptor {
            required_features: adapter.features().difference(Features::MAPPABLE_PRIMARY_BUFFERS),
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(no_gpu)?;
        let gpu = Self { device: device.clone(), loss: Loss::default() };
        let setup = WgpuSetup { instance, adapter, device, queue, backend: Backend::BrowserWebGpu };
        let device = Device::wgpu_options().setup(setup).init().map_err(no_gpu)?;
        // After burn's own handlers: in burn's, an error of the device is a panic.
        let loss = gpu.loss.clone();
        gpu.device.set_device_lost_callback(move |reason, message| loss.happened(format!("{reason:?}: {message}")));
        let loss = gpu.loss.clone();
        gpu.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| loss.happened(error.to_string())));
        Ok((gpu, device))
    }

    /// Waits for `work`, which uses this GPU, or for the loss of the GPU: work under way may then never end.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], or those of `work`.
    pub(super) async fn unless_lost<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Some(reason) = self.loss.reason_or_wake(context.waker()) {
                return Poll::Ready(Err(Error::DeviceLost { backend: "webgpu".into(), reason }));
            }
            work.as_mut().poll(context)
        })
        .await
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        self.device.destroy();
    }
}

fn no_gpu(error: impl ToString) -> Error {
    Error::NoGpu { reason: error.to_string() }
}

/// Whether the GPU was lost, and who waits to hear it.
#[derive(Clone, Default)]
struct Loss(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    reason: Option<String>,
    waker: Option<Waker>,
}

impl Loss {
    fn happened(&self, reason: String) {
        let mut state = self.state();
        state.reason.get_or_insert(reason);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    fn reason_or_wake(&self, waker: &Waker) -> Option<String> {
        let mut state = self.state();
        state.waker = Some(waker.clone());
        state.reason.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
