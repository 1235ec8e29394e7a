//! Matrices of behaviour over one user index, with what describes users and items.
//!
//! ```text
//! R^(g) ≈ (P + P^(g)) Q^(g)ᵀ       X ≈ P Aᵀ       Y^(g) ≈ Q^(g) B^(g)ᵀ
//! loss = Σ_g ω_g Σ c (t - (p_u + p_u^(g))·q_i)² + Σ_views α ‖Y - Q Bᵀ‖²
//!        + λ (‖P‖² + ‖Q‖² + ‖A‖² + ‖B‖²) + λ_dev Σ_g ‖P^(g)‖²
//! ```
//! A row without a cell is not part of a matrix of behaviour, one without a description not part of
//! that description. A sweep solves `A` and `B`, then `P`, then each `P^(g)`, then each `Q^(g)`.

use quintet_core::{Matrix, ModelState, SeedStream};
use quintet_tensor::{FitError, SparseRows, normal_matrix};

use super::parts::{Behaviour, Confidence, View, squares};
use super::system::{NoSolution, Part, solve_rows};

/// What all blocks share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    pub(crate) dim: usize,
    pub(crate) confidence: Confidence,
    pub(crate) l2: f64,
    /// `λ_dev`; none for models without deviations.
    pub(crate) deviation_l2: Option<f64>,
}

/// One matrix of behaviour.
#[derive(Debug, Clone)]
pub(crate) struct Domain {
    pub(crate) users: SparseRows,
    items: SparseRows,
    pub(crate) views: Vec<View>,
    weight: f64,
    /// `Q^(g)`.
    pub(crate) factors: Matrix,
    /// `P^(g)`.
    deviation: Option<Matrix>,
    active_users: Vec<bool>,
    active_items: Vec<bool>,
}

/// Which rows have a cell.
pub(crate) fn active(rows: &SparseRows) -> Vec<bool> {
    (0..rows.dims()[0]).map(|row| !rows.row(row).0.is_empty()).collect()
}

impl Domain {
    /// Draws the start of the items.
    pub(crate) fn new(
        users: SparseRows,
        views: Vec<View>,
        weight: f64,
        settings: &Settings,
        (seed, nth): (SeedStream, usize),
    ) -> Self {
        let items = users.transpose();
        let [n_users, n_items] = users.dims();
        let mut rng = seed.rng("ridge-items", nth as u64);
        Self {
            factors: start(n_items, settings.dim, &mut rng),
            deviation: settings.deviation_l2.map(|_| Matrix::zeros(n_users, settings.dim)),
            active_users: active(&users),
            active_items: active(&items),
            items,
            users,
            views,
            weight,
        }
    }

    /// `P + P^(g)`.
    pub(crate) fn effective(&self, shared: &Matrix) -> Matrix {
        let mut sum = shared.clone();
        if let Some(deviation) = &self.deviation {
            let own = deviation.as_slice();
            sum.as_mut_slice().iter_mut().zip(own).for_each(|(p, d)| *p += d);
        }
        sum
    }

    fn of_users(&self, settings: &Settings) -> Behaviour<'_> {
        let items = (&self.factors, &self.active_items[..]);
        Behaviour::new(&self.users, items, settings.confidence, self.weight)
    }
}

/// `N(0, .1 / sqrt(dim))`.
fn start(rows: usize, dim: usize, rng: &mut impl rand::Rng) -> Matrix {
    normal_matrix(rows, dim, 0.1 / (dim as f32).sqrt(), rng)
}

/// All factors and what they are fitted to.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    pub(crate) settings: Settings,
    /// `P`.
    pub(crate) shared: Matrix,
    pub(crate) user_views: Vec<View>,
    pub(crate) domains: Vec<Domain>,
}

/// Where factors are kept in a state.
pub(crate) type Trained<'a> = (String, &'a Matrix);

impl Blocks {
    /// Draws the start of the users.
    pub(crate) fn new(
        settings: Settings,
        n_users: usize,
        user_views: Vec<View>,
        domains: Vec<Domain>,
        seed: SeedStream,
    ) -> Self {
        let shared = start(n_users, settings.dim, &mut seed.rng("ridge-users", 0));
        Self { settings, shared, user_views, domains }
    }

    /// One sweep over all blocks.
    pub(crate) fn sweep(&mut self, model: &str) -> Result<(), FitError> {
        self.solve_views()
            .and_then(|()| self.solve_users())
            .and_then(|()| (0..self.domains.len()).try_for_each(|g| self.solve_deviation(g)))
            .and_then(|()| (0..self.domains.len()).try_for_each(|g| self.solve_items(g)))
            .map_err(|NoSolution| no_solution(model))
    }

    pub(crate) fn solve_views(&mut self) -> Result<(), NoSolution> {
        let ridge = self.settings.l2;
        self.user_views.iter_mut().try_for_each(|view| view.solve(&self.shared, ridge))?;
        for domain in &mut self.domains {
            let Domain { views, factors, .. } = domain;
            views.iter_mut().try_for_each(|view| view.solve(factors, ridge))?;
        }
        Ok(())
    }

    pub(crate) fn solve_users(&mut self) -> Result<(), NoSolution> {
        let Self { settings, shared, user_views, domains } = self;
        let views: Vec<_> = user_views.iter().map(View::fixed).collect();
        let behaviour: Vec<_> = domains
            .iter()
            .map(|domain| {
                let part = domain.of_users(settings);
                match &domain.deviation {
                    Some(deviation) => part.beside(deviation),
                    None => part,
                }
            })
            .collect();
        let mut parts: Vec<&dyn Part> = behaviour.iter().map(|b| b as &dyn Part).collect();
        parts.extend(views.iter().map(|v| v as &dyn Part));
        solve_rows(&parts, settings.l2, shared)
    }

    pub(crate) fn solve_deviation(&mut self, g: usize) -> Result<(), NoSolution> {
        let Self { settings, shared, domains, .. } = self;
        let (domain, Some(ridge)) = (&mut domains[g], settings.deviation_l2) else {
            return Ok(());
        };
        let mut deviation = domain.deviation.take().unwrap_or_default();
        let part = domain.of_users(settings).beside(shared);
        let solved = solve_rows(&[&part], ridge, &mut deviation);
        domain.deviation = Some(deviation);
        solved
    }

    pub(crate) fn solve_items(&mut self, g: usize) -> Result<(), NoSolution> {
        let Self { settings, shared, domains, .. } = self;
        let domain = &mut domains[g];
        let users = domain.effective(shared);
        let mut factors = std::mem::take(&mut domain.factors);
        let parts = (&domain.items, &domain.views[..]);
        let active = (&users, &domain.active_users[..]);
        let solved = items_of(settings, parts, domain.weight, active, &mut factors);
        domain.factors = factors;
        solved
    }

    /// What is minimised.
    pub(crate) fn loss(&self) -> f64 {
        let mut loss = self.settings.l2 * squares(self.shared.as_slice());
        for view in &self.user_views {
            loss += view.loss(&self.shared) + self.settings.l2 * squares(view.factors.as_slice());
        }
        for domain in &self.domains {
            loss += domain.of_users(&self.settings).loss(&domain.effective(&self.shared));
            loss += self.settings.l2 * squares(domain.factors.as_slice());
            for view in &domain.views {
                loss += view.loss(&domain.factors)
                    + self.settings.l2 * squares(view.factors.as_slice());
            }
            let own = domain.deviation.as_ref().map_or(0.0, |d| squares(d.as_slice()));
            loss += self.settings.deviation_l2.unwrap_or(0.0) * own;
        }
        loss
    }

    /// Every table of factors by a name of its own.
    fn tables_mut(&mut self) -> Vec<(String, &mut Matrix)> {
        let mut all = vec![("users".to_owned(), &mut self.shared)];
        for (k, view) in self.user_views.iter_mut().enumerate() {
            all.push((format!("user_view.{k}"), &mut view.factors));
        }
        for (g, domain) in self.domains.iter_mut().enumerate() {
            all.push((format!("{g}.items"), &mut domain.factors));
            for (k, view) in domain.views.iter_mut().enumerate() {
                all.push((format!("{g}.view.{k}"), &mut view.factors));
            }
            if let Some(deviation) = &mut domain.deviation {
                all.push((format!("{g}.deviation"), deviation));
            }
        }
        all
    }

    /// The same tables, to be read.
    pub(crate) fn tables(&self) -> Vec<Trained<'_>> {
        let mut all = vec![("users".to_owned(), &self.shared)];
        let user_views = self.user_views.iter().enumerate();
        all.extend(user_views.map(|(k, view)| (format!("user_view.{k}"), &view.factors)));
        for (g, domain) in self.domains.iter().enumerate() {
            all.push((format!("{g}.items"), &domain.factors));
            let views = domain.views.iter().enumerate();
            all.extend(views.map(|(k, view)| (format!("{g}.view.{k}"), &view.factors)));
            all.extend(domain.deviation.iter().map(|d| (format!("{g}.deviation"), d)));
        }
        all
    }

    /// Takes back what was saved from [`Blocks::tables`].
    pub(crate) fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        for (name, table) in self.tables_mut() {
            *table = state.shaped(&name, table.rows(), table.cols())?.clone();
        }
        Ok(())
    }
}

/// Solves the items of one matrix of behaviour, `users` and the descriptions held fixed: in
/// training, and for items that come later.
pub(super) fn items_of(
    settings: &Settings,
    (rows, views): (&SparseRows, &[View]),
    weight: f64,
    (users, active_users): (&Matrix, &[bool]),
    out: &mut Matrix,
) -> Result<(), NoSolution> {
    let behaviour = Behaviour::new(rows, (users, active_users), settings.confidence, weight);
    let views: Vec<_> = views.iter().map(View::fixed).collect();
    let mut parts: Vec<&dyn Part> = vec![&behaviour];
    parts.extend(views.iter().map(|v| v as &dyn Part));
    solve_rows(&parts, settings.l2, out)
}

/// The error for a system without a solution.
pub(super) fn no_solution(model: &str) -> FitError {
    let reason = "the system of a row is not positive definite; raise l2";
    FitError::Data { model: model.into(), reason: reason.into() }
}
