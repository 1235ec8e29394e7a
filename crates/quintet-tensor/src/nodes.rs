//! The distinct rows that a batch touches.

/// A set of ids below a fixed number, in the order in which they came, each with its place.
///
/// It is used again from batch to batch: clearing it costs as much as it holds.
///
/// ```
/// let mut nodes = quintet_tensor::NodeSet::new(10);
/// assert_eq!([nodes.insert(7), nodes.insert(3), nodes.insert(7)], [0, 1, 0]);
/// assert_eq!(nodes.nodes(), [7, 3]);
/// assert_eq!((nodes.place(3), nodes.place(4)), (Some(1), None));
/// ```
#[derive(Debug, Clone)]
pub struct NodeSet {
    nodes: Vec<u32>,
    /// Place of each id; [`ABSENT`] where it is not in the set.
    places: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl NodeSet {
    /// An empty set of ids below `n`.
    pub fn new(n: usize) -> Self {
        Self { nodes: Vec::new(), places: vec![ABSENT; n] }
    }

    /// Removes everything and keeps the memory.
    pub fn clear(&mut self) {
        for &node in &self.nodes {
            self.places[node as usize] = ABSENT;
        }
        self.nodes.clear();
    }

    /// Adds an id where it is not there yet; gives its place.
    ///
    /// # Panics
    /// When the id is out of range.
    pub fn insert(&mut self, node: u32) -> u32 {
        let place = &mut self.places[node as usize];
        if *place == ABSENT {
            *place = self.nodes.len() as u32;
            self.nodes.push(node);
        }
        *place
    }

    /// Where `node` stands among [`NodeSet::nodes`].
    ///
    /// # Panics
    /// When the id is out of range.
    #[inline]
    pub fn place(&self, node: u32) -> Option<usize> {
        let place = self.places[node as usize];
        (place != ABSENT).then_some(place as usize)
    }

    /// The ids, in the order in which they came.
    pub fn nodes(&self) -> &[u32] {
        &self.nodes
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
