//! The training loop.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Squared Euclidean norm of each parameter's gradient, by name.
pub fn squared_norms<M: Module>(module: &M, gradients: &GradientsParams) -> Vec<(String, f64)> {
    struct Norms<'a> {
        gradients: &'a GradientsParams,
        path: Vec<String>,
        norms: Vec<(String, f64)>,
    }
    impl ModuleVisitor for Norms<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                self.norms.push((self.path.join("."), gradient.square().sum().into_scalar::<f64>()));
            }
        }
    }
    let mut visitor = Norms { gradients, path: Vec::new(), norms: Vec::new() };
    module.visit(&mut visitor);
    visitor.norms
}
