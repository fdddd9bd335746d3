//! Gradients as a whole: their norms, and a step along them.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use deepbreath::model::Model;

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

/// `model` moved by `radius` along its gradients.
pub(crate) fn climb(model: Model, gradients: &GradientsParams, radius: f64) -> Model {
    struct Squares<'a>(&'a GradientsParams, Option<Tensor<1>>);
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                let square = gradient.square().sum();
                self.1 = Some(self.1.take().map_or(square.clone(), |sum| sum + square));
            }
        }
    }
    struct Step<'a>(&'a GradientsParams, Tensor<1>);
    impl ModuleMapper for Step<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(gradient) = self.0.get::<D>(param.id) else { return param };
            let step = gradient * self.1.clone().reshape([1; D]);
            param.map(|tensor| (tensor.inner() + step).autodiff().require_grad())
        }
    }
    let mut squares = Squares(gradients, None);
    model.visit(&mut squares);
    let Some(sum) = squares.1 else { return model };
    let factor = sum.sqrt().add_scalar(1e-12).recip() * radius;
    model.map(&mut Step(gradients, factor))
}
