//! Work on disjoint chunks, on all cores where there are threads. Chunk borders never depend on the number of threads,
//! so results do not either.

/// Calls `work(index, chunk)` for each chunk of `length` values of `data`.
pub(super) fn for_each_chunk(data: &mut [f32], length: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        data.par_chunks_mut(length).enumerate().for_each(|(index, chunk)| work(index, chunk));
    }
    #[cfg(target_arch = "wasm32")]
    data.chunks_mut(length).enumerate().for_each(|(index, chunk)| work(index, chunk));
}

/// What `work(index, chunk)` returns for each chunk of `length` values of `data`, in order.
#[cfg(feature = "training")]
pub(super) fn map_chunks<T: Send>(data: &[f32], length: usize, work: impl Fn(usize, &[f32]) -> T + Sync) -> Vec<T> {
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        data.par_chunks(length).enumerate().map(|(index, chunk)| work(index, chunk)).collect()
    }
    #[cfg(target_arch = "wasm32")]
    data.chunks(length).enumerate().map(|(index, chunk)| work(index, chunk)).collect()
}

/// Splits `data` at `borders` (cumulative ends) and hands each part to `work` with its index; returns results in order.
#[cfg(feature = "training")]
pub(super) fn map_parts<T: Send>(
    data: &mut [f32],
    ends: &[usize],
    work: impl Fn(usize, &mut [f32]) -> T + Sync + Send,
) -> Vec<T> {
    let mut parts = Vec::with_capacity(ends.len());
    let (mut rest, mut start) = (data, 0);
    for &end in ends {
        let (part, tail) = rest.split_at_mut(end - start);
        parts.push(part);
        (rest, start) = (tail, end);
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        parts.into_par_iter().enumerate().map(|(index, part)| work(index, part)).collect()
    }
    #[cfg(target_arch = "wasm32")]
    parts.into_iter().enumerate().map(|(index, part)| work(index, part)).collect()
}

/// Runs `work` with the widest SIMD instructions of this machine; `work` must be inlined all the way down.
#[inline(always)]
pub(super) fn with_simd<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(not(target_arch = "wasm32"))]
    return pulp::Arch::new().dispatch(work);
    #[cfg(target_arch = "wasm32")]
    work()
}

/// `a * b + c`: fused where the hardware does it, two roundings on wasm (which has no fused instruction).
#[inline(always)]
pub(super) fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(target_arch = "wasm32") { a * b + c } else { a.mul_add(b, c) }
}
