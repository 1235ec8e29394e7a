//! The fitted DMRS: the perceptron on the host, a block of items at a time.
//!
//! The first layer is linear in `z`: what an item brings alone is computed once, and so is what a
//! user brings, whose products with `q_i` and `c` go into the weight.

use burn::tensor::{Device, Tensor};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use quintet_core::{
    Capability, FeatureSet, Matrix, ModelState, Recommender, ScoreError, SeedStream, UserIdx,
};
use quintet_tensor::{FitError, Linear, add_product, add_scaled, dot, tensor_to_vec};
use rayon::prelude::*;

use super::net::DmrsNet;
use super::{DmrsConfig, NAME};
use crate::content::{Content, ContentMap};
use crate::content_model::over_features;
use crate::network::{Kept, Over, read_config};

/// Items that go through the perceptron together.
const BLOCK: usize = 128;

/// The fitted model.
pub(super) struct Dmrs {
    config: DmrsConfig,
    kept: Kept,
    users: Matrix,
    /// `[c ; k]` of every item.
    content: Matrix,
    host: Host,
}

/// The perceptron, with what items bring to it.
struct Host {
    dim: usize,
    /// `[q ; c]` of every item.
    pairs: Matrix,
    /// What items bring to the first layer alone, with its bias.
    base: Matrix,
    /// The rows of the first layer that read `p`, then those of `p ∘ q` and `p ∘ c`.
    of_users: Matrix,
    of_products: Matrix,
    /// The hidden layers after the first.
    hidden: Vec<(Matrix, Vec<f32>)>,
    output: Vec<f32>,
    constant: f32,
}

fn host(layer: &Linear) -> Result<(Matrix, Vec<f32>), FitError> {
    Ok((layer.weight.to_matrix()?, layer.bias.to_matrix()?.into_vec()))
}

impl Dmrs {
    pub(super) fn new(
        config: &DmrsConfig,
        (users, ids): (&Matrix, &Matrix),
        warm: Vec<bool>,
        net: &DmrsNet,
        content: &Content,
        device: &Device,
    ) -> Result<Self, FitError> {
        users.check_finite("dmrs: user vectors")?;
        ids.check_finite("dmrs: item vectors")?;
        let (n_items, width) = (content.n_items(), config.dim + content.names().len());
        let mut rows = Vec::with_capacity(n_items * width);
        for chunk in content.chunks() {
            let views = content.views(&chunk, device);
            let fused = net.fusion.forward(&net.branches(&views));
            let row = Tensor::cat(vec![fused, views.mask], 1);
            rows.extend(tensor_to_vec(row.inner()).map_err(FitError::Device)?);
        }
        let rows = Matrix::from_vec(n_items, width, rows)?;
        rows.check_finite("dmrs: content")?;
        let host = Host::new(config, net, ids, &warm, &rows)?;
        Ok(Self {
            config: config.clone(),
            kept: Kept::new(net, Some(content), (ids.clone(), warm), device)?,
            users: users.clone(),
            content: rows,
            host,
        })
    }

    /// Loads what [`Recommender::state`] gave.
    pub(super) fn load(state: &ModelState) -> Result<Self, FitError> {
        let config: DmrsConfig = read_config(state)?;
        config.check()?;
        let n = state.matrix("ids")?.rows();
        let kept = Kept::load(state, n, [n, config.dim])?;
        let users = state.matrix("users")?;
        let users = state.shaped("users", users.rows(), config.dim)?.clone();
        let Some(map) = &kept.map else {
            return Err(state.mismatch("content", "names of modalities", "none").into());
        };
        let width = config.dim + map.modalities().len();
        let content = state.shaped("content_rows", n, width)?.clone();
        // The perceptron runs on the host; only other features need a device.
        let net = net_of(&config, map, &kept, &kept.device()?)?;
        let host = Host::new(&config, &net, &kept.ids, &kept.warm, &content)?;
        Ok(Self { config, kept, users, content, host })
    }

    fn over(&self, map: &ContentMap, features: &FeatureSet) -> Result<Self, FitError> {
        let Over { content, ids, warm, device } = self.kept.over(NAME, map, features)?;
        let net = net_of(&self.config, map, &self.kept, &device)?;
        Self::new(&self.config, (&self.users, &ids), warm, &net, &content, &device)
    }
}

/// The network with its trained weights.
fn net_of(
    config: &DmrsConfig,
    map: &ContentMap,
    kept: &Kept,
    device: &Device,
) -> Result<DmrsNet, FitError> {
    kept.trained(DmrsNet::new(config, map, SeedStream::new(0), device)?, device)
}

impl Host {
    fn new(
        config: &DmrsConfig,
        net: &DmrsNet,
        ids: &Matrix,
        warm: &[bool],
        content: &Matrix,
    ) -> Result<Self, FitError> {
        let dim = config.dim;
        let unknown = net.unknown.to_matrix()?;
        let mut layers = net.hidden.iter().map(host).collect::<Result<Vec<_>, _>>()?;
        let (first, bias) = layers.remove(0);
        let width = first.cols();
        // Rows of the first layer, by what they read.
        let rows = |from: usize, n: usize| &first.as_slice()[from * width..(from + n) * width];
        let mut pairs = Matrix::zeros(content.rows(), 2 * dim);
        let mut base = Matrix::zeros(content.rows(), width);
        for (item, warm) in warm.iter().enumerate() {
            let id = if *warm { ids.row(item) } else { unknown.row(0) };
            let (q, c) = pairs.row_mut(item).split_at_mut(dim);
            q.copy_from_slice(id);
            c.copy_from_slice(&content.row(item)[..dim]);
            let out = base.row_mut(item);
            out.copy_from_slice(&bias);
            add_product(id, rows(dim, dim), [dim, width], out);
            let (c, flags) = content.row(item).split_at(dim);
            add_product(c, rows(3 * dim, dim), [dim, width], out);
            add_product(flags, rows(5 * dim, flags.len()), [flags.len(), width], out);
        }
        let products = [rows(2 * dim, dim), rows(4 * dim, dim)].concat();
        let (output, constant) = host(&net.output)?;
        Ok(Self {
            dim,
            pairs,
            base,
            of_users: Matrix::from_vec(dim, width, rows(0, dim).to_vec())?,
            of_products: Matrix::from_vec(2 * dim, width, products)?,
            hidden: layers,
            output: output.into_vec(),
            constant: constant[0],
        })
    }

    /// Scores of every item for a user with the vector `p`.
    fn score(&self, p: &[f32], out: &mut [f32]) {
        let width = self.base.cols();
        let mut alone = vec![0.0; width];
        add_product(p, self.of_users.as_slice(), [self.dim, width], &mut alone);
        let mut weight = self.of_products.as_slice().to_vec();
        for (nth, line) in weight.chunks_exact_mut(width).enumerate() {
            line.iter_mut().for_each(|w| *w *= p[nth % self.dim]);
        }
        out.par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| {
            self.score_block(&alone, &weight, block * BLOCK, out);
        });
    }

    /// Scores of the items from `first` on.
    fn score_block(&self, alone: &[f32], weight: &[f32], first: usize, out: &mut [f32]) {
        let width = self.base.cols();
        let mut x = self.base.as_slice()[first * width..][..out.len() * width].to_vec();
        x.chunks_exact_mut(width).for_each(|row| add_scaled(row, 1.0, alone));
        let pairs = &self.pairs.as_slice()[first * 2 * self.dim..][..out.len() * 2 * self.dim];
        add_matmul(pairs, weight, [2 * self.dim, width], &mut x);
        rectify(&mut x);
        for (weight, bias) in &self.hidden {
            let mut next: Vec<f32> = bias.repeat(out.len());
            add_matmul(&x, weight.as_slice(), [weight.rows(), weight.cols()], &mut next);
            rectify(&mut next);
            x = next;
        }
        for (score, row) in out.iter_mut().zip(x.chunks_exact(self.output.len())) {
            *score = dot(row, &self.output) + self.constant;
        }
    }
}

/// `out += x · W` for the rows of a block, `[rows, d_in] × [d_in, d_out]`, in packed tiles: nearly
/// all of the time of a score goes here.
fn add_matmul(x: &[f32], weight: &[f32], [d_in, d_out]: [usize; 2], out: &mut [f32]) {
    let rows = out.len() / d_out;
    let out = MatMut::from_row_major_slice_mut(out, rows, d_out);
    let x = MatRef::from_row_major_slice(x, rows, d_in);
    let weight = MatRef::from_row_major_slice(weight, d_in, d_out);
    // Blocks run side by side already.
    matmul(out, Accum::Add, x, weight, 1.0, Par::Seq);
}

fn rectify(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = x.max(0.0));
}

impl Recommender for Dmrs {
    fn name(&self) -> &str {
        NAME
    }

    fn n_users(&self) -> usize {
        self.users.rows()
    }

    fn n_items(&self) -> usize {
        self.kept.warm.len()
    }

    fn capability(&self) -> Capability {
        let modalities = self.kept.map.as_ref().map(ContentMap::modalities).unwrap_or_default();
        Capability::personal().with_cold_items().with_modalities(modalities)
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        let len = self.n_users();
        if let Some(u) = users.iter().find(|u| u.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "user", index: u.index(), len });
        }
        out.reset(users.len(), self.n_items());
        let n_items = self.n_items().max(1);
        let rows = out.as_mut_slice().par_chunks_mut(n_items).zip(users);
        rows.for_each(|(row, user)| self.host.score(self.users.row(user.index()), row));
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(NAME);
        self.kept.save(&self.config, &mut state);
        state.put("users", self.users.clone());
        state.put("content_rows", self.content.clone());
        state
    }

    fn with_features(&self, features: &FeatureSet) -> Result<Box<dyn Recommender>, ScoreError> {
        match &self.kept.map {
            Some(map) => over_features(NAME, self.over(map, features)),
            None => Err(ScoreError::NoContent { model: NAME.into() }),
        }
    }
}
