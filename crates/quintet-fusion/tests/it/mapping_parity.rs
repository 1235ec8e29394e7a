//! Cross-modal mapping against scikit-learn, POT, NumPy and PyTorch.

use burn::tensor::{Tensor, TensorData};
use quintet_core::Matrix;
use quintet_fusion::mapping::{
    Cca, CcaParams, MaxVar, Pca, PcaParams, PcaSolver, RidgeMap, RidgeParams, SinkhornParams,
    coral, correlation, info_nce, mmd, sinkhorn,
};
use quintet_tensor::tensor_to_vec;
use quintet_testkit::devices;
use serde_json::Value;

fn fixture(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mapping");
    let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn matrix(v: &Value, rows: usize) -> Matrix {
    let data: Vec<f32> = numbers(v).into_iter().map(|x| x as f32).collect();
    Matrix::from_vec(rows, data.len() / rows, data).unwrap()
}

fn close(what: &str, found: impl IntoIterator<Item = f64>, expected: &Value, tolerance: f64) {
    let (found, expected): (Vec<f64>, _) = (found.into_iter().collect(), numbers(expected));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(&expected) {
        assert!((f - e).abs() <= tolerance * e.abs().max(1.0), "{what}: {f}, expected {e}");
    }
}

fn wide(m: &Matrix) -> Vec<f64> {
    m.as_slice().iter().map(|&v| f64::from(v)).collect()
}

#[test]
fn pca_and_ridge_agree_with_scikit_learn() {
    let f = fixture("linear");
    let (x, y) = (matrix(&f["x"], 30), matrix(&f["y"], 30));
    let rows: Vec<u32> = (0..30).collect();
    for solver in [PcaSolver::Exact, PcaSolver::Randomised] {
        let params = PcaParams { components: 3, solver, ..Default::default() };
        let pca = Pca::fit("x", &x, &rows, &params).unwrap();
        close("axes", (0..3).flat_map(|k| pca.axis(k)), &f["axes"], 1e-8);
        close("variances", pca.explained_variance().to_vec(), &f["variances"], 1e-8);
        close("ratios", pca.explained_variance_ratio(), &f["ratios"], 1e-8);
        close("projected", wide(&pca.transform(&x).unwrap()), &f["projected"], 1e-6);
        let white = PcaParams { whiten: true, ..params };
        let white = Pca::fit("x", &x, &rows, &white).unwrap().transform(&x).unwrap();
        close("whitened", wide(&white), &f["whitened"], 1e-6);
    }
    let params = RidgeParams { l2: f["ridge_l2"].as_f64().unwrap() };
    let map = RidgeMap::fit("x → y", &x, &y, &rows, &params).unwrap();
    let coefficients = (0..4).flat_map(|c| map.coefficients(c));
    close("coefficients", coefficients, &f["ridge_coefficients"], 1e-8);
    close("mapped", wide(&map.map(&x).unwrap()), &f["ridge_mapped"], 1e-6);
}

#[test]
fn cca_agrees_with_the_equations_and_scikit_learn() {
    let f = fixture("linear");
    let (x, y, z) = (matrix(&f["x"], 30), matrix(&f["y"], 30), matrix(&f["z"], 30));
    let rows: Vec<u32> = (0..30).collect();
    let regularisation = f["regularisation"].as_f64().unwrap();
    let params = CcaParams { regularisation, ..Default::default() };
    let cca = Cca::fit(["x", "y"], &x, &y, &rows, &params).unwrap();
    close("correlations", cca.correlations().to_vec(), &f["correlations"], 1e-8);
    close("shared x", wide(&cca.transform_x(&x).unwrap()), &f["shared_x"], 1e-5);
    close("shared y", wide(&cca.transform_y(&y).unwrap()), &f["shared_y"], 1e-5);
    close("mapped", wide(&cca.map_x_to_y(&x).unwrap()), &f["mapped"], 1e-5);
    let free = CcaParams { regularisation: 1e-10, components: 3, ..Default::default() };
    let free = Cca::fit(["x", "y"], &x, &y, &rows, &free).unwrap();
    close("free", free.correlations().to_vec(), &f["sklearn_correlations"], 1e-4);
    let views = [("x", &x), ("y", &y), ("z", &z)];
    let found = MaxVar::fit(&views, &rows, &params).unwrap();
    close("maxvar", found.eigenvalues().to_vec(), &f["maxvar"], 1e-8);
}

#[test]
fn transport_agrees_with_pot() {
    let f = fixture("transport");
    let (costs, a, b) = (numbers(&f["costs"]), numbers(&f["a"]), numbers(&f["b"]));
    let targets = matrix(&f["targets"], 5);
    for case in f["cases"].as_array().unwrap() {
        let epsilon = case["epsilon"].as_f64().unwrap();
        let params = SinkhornParams { epsilon, tolerance: 1e-13, iterations: 100_000 };
        let plan = sinkhorn(&costs, &a, &b, &params).unwrap();
        assert!(plan.converged && plan.dims() == [7, 5]);
        close("plan", (0..7).flat_map(|r| plan.row(r).to_vec()), &case["plan"], 1e-8);
        // Rounded to 32 bits.
        let found = plan.barycentres(&targets).unwrap();
        close("barycentres", wide(&found), &case["barycentres"], 1e-7);
    }
}

#[test]
fn losses_and_gradients_agree_with_pytorch() {
    let f = fixture("losses");
    let (a, b) = (matrix(&f["a"], 6), matrix(&f["b"], 6));
    type Loss = fn(Tensor<2>, Tensor<2>) -> Tensor<1>;
    let losses: [(&str, Loss); 3] = [
        ("info_nce", |a, b| {
            let scale = Tensor::ones([1, 1], &a.device()) * 5.0;
            info_nce(a, b, scale)
        }),
        ("coral", coral),
        ("mmd", |a, b| mmd(a, b, &[0.5, 1.0, 2.0])),
    ];
    for device in devices() {
        let device = device.autodiff();
        let leaf = |m: &Matrix| {
            let data = TensorData::new(m.as_slice().to_vec(), [m.rows(), m.cols()]);
            Tensor::<2>::from_data(data, &device).require_grad()
        };
        for (name, loss) in losses {
            let (x, y) = (leaf(&a), leaf(&b));
            let value = loss(x.clone(), y.clone());
            let found = f64::from(tensor_to_vec(value.clone().inner()).unwrap()[0]);
            let expected = f[name]["value"].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{name}: {found}");
            let grads = value.backward();
            for (part, leaf) in [("by_a", x), ("by_b", y)] {
                let found = tensor_to_vec(leaf.grad(&grads).unwrap()).unwrap();
                close(name, found.into_iter().map(f64::from), &f[name][part], 1e-5);
            }
        }
    }
    let found = correlation(&a, &b, 0.01).unwrap();
    assert!((found.value - f["deep_cca"]["value"].as_f64().unwrap()).abs() < 1e-8);
    close("deep_cca", wide(&found.by_x), &f["deep_cca"]["by_a"], 1e-6);
    close("deep_cca", wide(&found.by_y), &f["deep_cca"]["by_b"], 1e-6);
}
