//! The CPU kernels against burn's own convolution: values and all three gradients, for every geometry of the network.

use burn::module::Param;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use deepbreath::ops::{ConvSpec, NormSpec, batch_norm_act, batch_norm_by_burn, conv_bias_act};

struct Case {
    input: [usize; 4],
    outputs: usize,
    kernel: usize,
    spec: ConvSpec,
}

const fn case(input: [usize; 4], outputs: usize, kernel: usize, stride: usize, depthwise: bool, relu6: bool) -> Case {
    Case { input, outputs, kernel, spec: ConvSpec { stride, depthwise, relu6 } }
}

/// Sides are small and odd on purpose, batches larger and smaller than the number of parts.
const CASES: &[Case] = &[
    case([3, 16, 16, 3], 32, 3, 2, false, true),
    case([2, 15, 17, 3], 8, 3, 2, false, false),
    case([5, 9, 7, 24], 40, 1, 1, false, true),
    case([1, 7, 7, 33], 5, 1, 1, false, false),
    case([2, 56, 56, 16], 96, 1, 1, false, true),
    case([5, 14, 14, 32], 32, 3, 1, true, true),
    case([2, 13, 11, 16], 16, 3, 1, true, false),
    case([3, 14, 14, 48], 48, 3, 2, true, true),
    case([3, 13, 15, 16], 16, 3, 2, true, true),
    case([6, 14, 14, 32], 32, 5, 1, true, true),
    case([2, 7, 7, 64], 64, 5, 1, true, true),
    case([4, 28, 28, 16], 16, 5, 2, true, true),
    case([1, 15, 9, 16], 16, 5, 2, true, false),
    case([2, 112, 112, 32], 32, 3, 1, true, true),
    case([2, 112, 112, 32], 32, 3, 2, true, true),
];

fn same(length: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let total = ((length.div_ceil(stride) - 1) * stride + kernel).saturating_sub(length);
    (total / 2, total - total / 2)
}

/// burn's convolution with the same padding, bias and activation, on `[B, H, W, C]`.
fn by_burn(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, case: &Case) -> Tensor<4> {
    let [_, height, width, channels] = case.input;
    let groups = if case.spec.depthwise { channels } else { 1 };
    let padding = [height, width].map(|length| same(length, case.kernel, case.spec.stride));
    let options = ConvOptions { stride: [case.spec.stride; 2], padding, dilation: [1, 1], groups };
    let y = conv2d(x.permute([0, 3, 1, 2]), weight, Some(bias), options);
    let y = if case.spec.relu6 { y.clamp(0.0, 6.0) } else { y };
    y.permute([0, 2, 3, 1])
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("32-bit values")
}

/// Compares by the Euclidean norm of the difference: where an output lies within rounding of 0 or 6, its gradient is
/// there in one program and not in the other, which is rare and right.
fn check(what: &str, ours: &[f32], burns: &[f32]) {
    assert_eq!(ours.len(), burns.len(), "{what}");
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let size = norm(&mut burns.iter().copied());
    let difference = norm(&mut ours.iter().zip(burns).map(|(a, b)| a - b));
    assert!(size > 0.0 && difference <= 3e-3 * size, "{what}: differs by {difference} at size {size}");
}

#[test]
fn values_and_gradients_agree_with_burns_convolution() {
    let device = Device::flex().autodiff();
    device.seed(42);
    for (number, case) in CASES.iter().enumerate() {
        let inputs = if case.spec.depthwise { 1 } else { case.input[3] };
        let fan_in = (inputs * case.kernel * case.kernel) as f64;
        let normal = Distribution::Normal(0.0, 1.0);
        let x = Param::from_tensor(Tensor::<4>::random(case.input, Distribution::Normal(1.0, 2.0), &device));
        let shape = [case.outputs, inputs, case.kernel, case.kernel];
        let weight = Param::from_tensor(Tensor::<4>::random(shape, normal, &device) / fan_in.sqrt());
        let bias = Param::from_tensor(Tensor::<1>::random([case.outputs], normal, &device));
        let [x, weight] = [x.val().detach().require_grad(), weight.val().detach().require_grad()];
        let bias = bias.val().detach().require_grad();
        let run = |y: Tensor<4>| {
            let dims = y.dims();
            let count: usize = dims.iter().product();
            let factors = Tensor::<1, burn::tensor::Int>::arange(0..count as i64, &device).float().sin().reshape(dims);
            let gradients = (y.clone() * factors).sum().backward();
            let of = |name: &str, values: Option<Vec<f32>>| (name.to_string(), values.expect("a gradient"));
            vec![
                of("values", Some(values(y))),
                of("x", x.grad(&gradients).map(values)),
                of("weight", weight.grad(&gradients).map(values)),
                of("bias", bias.grad(&gradients).map(values)),
            ]
        };
        let ours = run(conv_bias_act(x.clone(), weight.clone(), bias.clone(), case.spec));
        let burns = run(by_burn(x.clone(), weight.clone(), bias.clone(), case));
        for ((name, ours), (_, burns)) in ours.iter().zip(&burns) {
            check(
                &format!("case {number}, {:?} kernel {} {:?}, {name}", case.input, case.kernel, case.spec),
                ours,
                burns,
            );
        }
    }
}

#[test]
fn batch_norm_agrees_with_burns_operations() {
    let device = Device::flex().autodiff();
    device.seed(7);
    for (shape, relu6) in
        [([2, 3, 5, 8], false), ([3, 28, 28, 24], true), ([1, 1, 1, 4], false), ([4, 56, 56, 96], true)]
    {
        // A mean far from zero: variances must not come from the difference of large numbers.
        let x = Param::from_tensor(Tensor::<4>::random(shape, Distribution::Normal(20.0, 3.0), &device));
        let scale = Param::from_tensor(Tensor::<1>::random([shape[3]], Distribution::Uniform(0.5, 3.0), &device));
        let shift = Param::from_tensor(Tensor::<1>::random([shape[3]], Distribution::Normal(1.0, 1.0), &device));
        let weigh = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let spec = NormSpec { epsilon: 1e-3, relu6 };
        let run = |norm: fn(Tensor<4>, Tensor<1>, Tensor<1>, NormSpec) -> (Tensor<4>, [Tensor<1>; 2])| {
            let (out, [mean, variance]) = norm(x.val(), scale.val(), shift.val(), spec);
            let gradients = (out.clone() * weigh.clone()).sum().backward();
            let of_x = values(x.val().grad(&gradients).expect("a gradient of x"));
            let of = |p: &Param<Tensor<1>>| values(p.val().grad(&gradients).expect("a gradient"));
            [values(out), values(mean), values(variance), of_x, of(&scale), of(&shift)]
        };
        let names = ["output", "mean", "variance", "gradient of x", "gradient of the scale", "gradient of the shift"];
        for ((name, ours), burns) in names.iter().zip(run(batch_norm_act)).zip(run(batch_norm_by_burn)) {
            if shape == [1, 1, 1, 4] {
                // One value has no variance: nothing to compare by size, but nothing may blow up.
                assert!(ours.iter().zip(&burns).all(|(a, b)| (a - b).abs() < 1e-3), "{name}: {ours:?}, {burns:?}");
            } else {
                check(&format!("{shape:?}, {name}"), &ours, &burns);
            }
        }
    }
}
