//! Combinations of ranks.
//!
//! ```text
//! RRF         Σ_n w_n / (κ + rank_n(i))
//! Borda       Σ_n w_n (L - rank_n(i) + 1)
//! Condorcet   pairs that i wins + ½ pairs that are even; a pair goes to the item that more
//!             weight of models ranks higher
//! majority    items in at least v lists first; both parts in the order of RRF
//! ```
//! Ranks count from 1, equal scores by position; an absent item adds 0 and loses to every present
//! one; `L` is the length of the longest list. Cormack, Clarke & Büttcher, "Reciprocal Rank Fusion
//! outperforms Condorcet and Individual Rank Learning Methods", SIGIR 2009. Aslam & Montague,
//! "Models for Metasearch", SIGIR 2001; "Condorcet Fusion for Improved Retrieval", CIKM 2002, with
//! the count of Copeland (1951). No parameters; cost `O(N L ln L)`, Condorcet `O(N (N depth)²)`.

use quintet_tensor::{FitError, parse_params};
use serde::{Deserialize, Serialize};

use super::{Ballot, DecisionEntry, DecisionFusion, ScoreRow, checked_weights, config, title};

/// `κ` of the paper.
pub(crate) const KAPPA: f64 = 60.0;

pub(crate) const RRF: DecisionEntry = DecisionEntry {
    name: "rrf",
    summary: "sum of reciprocal ranks (Cormack et al. 2009)",
    build: |params, n| Ok(Box::new(Rrf::new(parse_params(&title("rrf"), params)?, n)?)),
};

pub(crate) const BORDA: DecisionEntry = DecisionEntry {
    name: "borda",
    summary: "points by rank (Aslam & Montague 2001)",
    build: |params, n| Ok(Box::new(Borda::new(parse_params(&title("borda"), params)?, n)?)),
};

pub(crate) const CONDORCET: DecisionEntry = DecisionEntry {
    name: "condorcet",
    summary: "pairwise wins among the best of every list",
    build: |params, n| Ok(Box::new(Condorcet::new(parse_params(&title("condorcet"), params)?, n)?)),
};

pub(crate) const MAJORITY: DecisionEntry = DecisionEntry {
    name: "majority",
    summary: "items that enough lists hold, in the order of reciprocal ranks",
    build: |params, n| Ok(Box::new(Majority::new(parse_params(&title("majority"), params)?, n)?)),
};

/// The rank of every item, from 1; `None` for absent items and those below `depth`.
pub(crate) fn ranks(row: &[Option<f32>], depth: Option<usize>) -> Vec<Option<usize>> {
    let mut order: Vec<(usize, f32)> =
        row.iter().enumerate().filter_map(|(item, s)| s.map(|s| (item, s + 0.0))).collect();
    // Stable: equal scores stay in the order of positions.
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut ranks = vec![None; row.len()];
    for (at, (item, _)) in order.iter().enumerate().take(depth.unwrap_or(usize::MAX)) {
        ranks[*item] = Some(at + 1);
    }
    ranks
}

/// The sum over models of `points(rank)`, weighted.
fn points(
    ballot: &Ballot<'_>,
    weights: &[f64],
    depth: Option<usize>,
    points: impl Fn(usize) -> f64,
) -> Vec<f64> {
    let mut sum = vec![0.0; ballot.n_items()];
    for (row, weight) in ballot.rows.iter().zip(weights) {
        for (sum, rank) in sum.iter_mut().zip(ranks(row, depth)) {
            *sum += rank.map_or(0.0, |rank| weight * points(rank));
        }
    }
    sum
}

fn check_depth(name: &str, depth: Option<usize>) -> Result<(), FitError> {
    if depth == Some(0) {
        return Err(config(name, "depth is 0, at least 1 is needed".into()));
    }
    Ok(())
}

fn check_kappa(name: &str, kappa: f64) -> Result<(), FitError> {
    if !(kappa.is_finite() && kappa >= 0.0) {
        let reason = format!("kappa is {kappa}, a number of at least 0 is needed");
        return Err(config(name, reason));
    }
    Ok(())
}

/// Parameters of [`Rrf`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RrfParams {
    /// How slowly ranks lose weight.
    pub kappa: f64,
    /// One a model; 1 each by default.
    pub weights: Option<Vec<f64>>,
    /// How many of each list count; all by default.
    pub depth: Option<usize>,
}

impl Default for RrfParams {
    fn default() -> Self {
        Self { kappa: KAPPA, weights: None, depth: None }
    }
}

/// Reciprocal rank fusion.
#[derive(Debug, Clone, PartialEq)]
pub struct Rrf {
    params: RrfParams,
    weights: Vec<f64>,
}

impl Rrf {
    /// For so many models.
    ///
    /// # Errors
    /// A parameter is out of range, or there are other weights than models.
    pub fn new(params: RrfParams, n_models: usize) -> Result<Self, FitError> {
        check_kappa("rrf", params.kappa)?;
        check_depth("rrf", params.depth)?;
        let ones = vec![1.0; n_models];
        let given = params.weights.as_deref().unwrap_or(&ones);
        let weights = checked_weights("rrf", Some(given), n_models)?;
        Ok(Self { params, weights })
    }
}

impl DecisionFusion for Rrf {
    fn name(&self) -> &str {
        "rrf"
    }

    fn fuse(&self, ballot: &Ballot<'_>) -> Result<Vec<f64>, FitError> {
        ballot.check("rrf", self.weights.len())?;
        let of = |rank| 1.0 / (self.params.kappa + rank as f64);
        Ok(points(ballot, &self.weights, self.params.depth, of))
    }

    fn addends(&self, ballot: &Ballot<'_>, item: usize) -> Result<Vec<f64>, FitError> {
        ballot.check("rrf", self.weights.len())?;
        let of = |(row, weight): (&ScoreRow, &f64)| {
            let rank = ranks(row, self.params.depth)[item];
            rank.map_or(0.0, |rank| weight / (self.params.kappa + rank as f64))
        };
        Ok(ballot.rows.iter().zip(&self.weights).map(of).collect())
    }
}

/// Parameters of [`Borda`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RankParams {
    /// One a model; 1 each by default.
    pub weights: Option<Vec<f64>>,
    /// How many of each list count; all by default.
    pub depth: Option<usize>,
}

impl RankParams {
    fn checked(&self, name: &str, n_models: usize) -> Result<Vec<f64>, FitError> {
        check_depth(name, self.depth)?;
        let ones = vec![1.0; n_models];
        checked_weights(name, Some(self.weights.as_deref().unwrap_or(&ones)), n_models)
    }
}

/// Points by rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Borda {
    depth: Option<usize>,
    weights: Vec<f64>,
}

impl Borda {
    /// For so many models.
    ///
    /// # Errors
    /// A parameter is out of range, or there are other weights than models.
    pub fn new(params: RankParams, n_models: usize) -> Result<Self, FitError> {
        let weights = params.checked("borda", n_models)?;
        Ok(Self { depth: params.depth, weights })
    }
}

impl DecisionFusion for Borda {
    fn name(&self) -> &str {
        "borda"
    }

    fn fuse(&self, ballot: &Ballot<'_>) -> Result<Vec<f64>, FitError> {
        ballot.check("borda", self.weights.len())?;
        let present = |row: &ScoreRow| row.iter().flatten().count();
        let longest = ballot.rows.iter().map(present).max().unwrap_or(0);
        let longest = longest.min(self.depth.unwrap_or(usize::MAX));
        Ok(points(ballot, &self.weights, self.depth, |rank| (longest - rank + 1) as f64))
    }
}

/// Parameters of [`Condorcet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CondorcetParams {
    /// One a model; 1 each by default.
    pub weights: Option<Vec<f64>>,
    /// How many of each list take part; the cost grows with its square. Items below it are tied.
    pub depth: usize,
}

impl Default for CondorcetParams {
    fn default() -> Self {
        Self { weights: None, depth: 200 }
    }
}

/// Pairwise wins.
#[derive(Debug, Clone, PartialEq)]
pub struct Condorcet {
    depth: usize,
    weights: Vec<f64>,
}

impl Condorcet {
    /// For so many models.
    ///
    /// # Errors
    /// A parameter is out of range, or there are other weights than models.
    pub fn new(params: CondorcetParams, n_models: usize) -> Result<Self, FitError> {
        let all = RankParams { weights: params.weights, depth: Some(params.depth) };
        Ok(Self { depth: params.depth, weights: all.checked("condorcet", n_models)? })
    }
}

impl DecisionFusion for Condorcet {
    fn name(&self) -> &str {
        "condorcet"
    }

    fn fuse(&self, ballot: &Ballot<'_>) -> Result<Vec<f64>, FitError> {
        ballot.check("condorcet", self.weights.len())?;
        let listed = |row: &ScoreRow| ranks(row, Some(self.depth));
        let lists: Vec<Vec<Option<usize>>> = ballot.rows.iter().map(listed).collect();
        let candidates: Vec<usize> =
            (0..ballot.n_items()).filter(|&i| lists.iter().any(|l| l[i].is_some())).collect();
        let mut wins = vec![0.0; ballot.n_items()];
        for (at, &i) in candidates.iter().enumerate() {
            // Every candidate beats what is in no list.
            wins[i] += (ballot.n_items() - candidates.len()) as f64;
            for &j in &candidates[at + 1..] {
                let lead: f64 =
                    lists.iter().zip(&self.weights).map(|(l, w)| w * prefers(l[i], l[j])).sum();
                wins[i] += if lead > 0.0 { 1.0 } else { 0.5 * f64::from(lead == 0.0) };
                wins[j] += if lead < 0.0 { 1.0 } else { 0.5 * f64::from(lead == 0.0) };
            }
        }
        Ok(wins)
    }
}

/// 1 when the first rank is better, -1 when the second is, 0 when neither is in the list.
fn prefers(i: Option<usize>, j: Option<usize>) -> f64 {
    let place = |rank: Option<usize>| rank.unwrap_or(usize::MAX);
    match place(i).cmp(&place(j)) {
        std::cmp::Ordering::Less => 1.0,
        std::cmp::Ordering::Equal => 0.0,
        std::cmp::Ordering::Greater => -1.0,
    }
}

/// Parameters of [`Majority`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MajorityParams {
    /// How many lists must hold an item.
    pub min_votes: usize,
    /// How many of each list count.
    pub depth: usize,
    /// `κ` of the order.
    pub kappa: f64,
}

impl Default for MajorityParams {
    fn default() -> Self {
        Self { min_votes: 2, depth: 100, kappa: KAPPA }
    }
}

/// Majority vote, ordered by reciprocal ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct Majority {
    params: MajorityParams,
    n_models: usize,
}

impl Majority {
    /// For so many models.
    ///
    /// # Errors
    /// A parameter is out of range, or more votes are asked for than there are models.
    pub fn new(params: MajorityParams, n_models: usize) -> Result<Self, FitError> {
        checked_weights("majority", None, n_models)?;
        check_kappa("majority", params.kappa)?;
        check_depth("majority", Some(params.depth))?;
        if !(1..=n_models).contains(&params.min_votes) {
            let reason = format!("min_votes is {}, 1 to {n_models} can be met", params.min_votes);
            return Err(config("majority", reason));
        }
        Ok(Self { params, n_models })
    }
}

impl DecisionFusion for Majority {
    fn name(&self) -> &str {
        "majority"
    }

    fn fuse(&self, ballot: &Ballot<'_>) -> Result<Vec<f64>, FitError> {
        ballot.check("majority", self.n_models)?;
        let ones = vec![1.0; self.n_models];
        let order = points(ballot, &ones, None, |rank| 1.0 / (self.params.kappa + rank as f64));
        let votes = points(ballot, &ones, Some(self.params.depth), |_| 1.0);
        // No sum of reciprocal ranks is larger: who has the votes stands above who has not.
        let lift = self.n_models as f64 / (self.params.kappa + 1.0);
        let enough = self.params.min_votes as f64;
        let lifted = |(o, v): (f64, f64)| if v >= enough { o + lift } else { o };
        Ok(order.into_iter().zip(votes).map(lifted).collect())
    }
}
