//! Between plain matrices and tensors.

use burn::prelude::*;
use burn::tensor::TensorData;
use quintet_core::{CoreError, Matrix};

/// A matrix as a tensor, `[rows, cols]`.
pub fn matrix_to_tensor(matrix: &Matrix, device: &Device) -> Tensor<2> {
    let data = TensorData::new(matrix.as_slice().to_vec(), [matrix.rows(), matrix.cols()]);
    Tensor::from_data(data, device)
}

/// Positions as an integer tensor, `[len]`.
pub fn index_tensor(positions: &[u32], device: &Device) -> Tensor<1, Int> {
    let wide: Vec<i32> = positions.iter().map(|&p| p as i32).collect();
    Tensor::from_data(TensorData::new(wide, [positions.len()]), device)
}

/// A tensor as a matrix.
///
/// # Errors
/// The device failed, or the tensor does not hold real numbers; the message says which.
pub fn tensor_to_matrix(tensor: Tensor<2>) -> Result<Matrix, String> {
    let [rows, cols] = tensor.dims();
    let data = tensor_to_vec(tensor)?;
    Matrix::from_vec(rows, cols, data).map_err(|e: CoreError| e.to_string())
}

/// The numbers of a tensor, row by row.
///
/// # Errors
/// As [`tensor_to_matrix`].
pub fn tensor_to_vec<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, String> {
    tensor.try_into_vec_as::<f32>().map_err(|e| format!("{e:?}"))
}
