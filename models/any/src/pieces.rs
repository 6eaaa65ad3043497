//! Training of a table that lies in pieces, by whoever holds them: a cluster, say. Requests and answers are bytes.

pub(crate) mod processes;

use crate::{FAMILIES, Settings, family};
use tilewise_base::{Error, InBytes, Model, Result, Roles};
use tilewise_forest::RandomForest;
use tilewise_gbdt::GradientBoosting;
use tilewise_linear::pipeline::rounds as linear;
use tilewise_tree::rounds::pieces::{self as trees, Piece};

/// How a family's trainer for pieces is made: of settings, inputs, roles and the key of random numbers.
pub(crate) type Pieces = fn(&Settings, Vec<String>, &Roles, u64) -> Result<Box<dyn InBytes>>;

/// What requests of linear pipelines begin with.
pub(crate) const LINEAR: &str = "linear";
/// Of boosted trees.
pub(crate) const BOOSTING: &str = "boosting";
/// Of forests, and of single trees.
pub(crate) const FOREST: &str = "forest";

/// A trainer of the family called `name`, of the columns `inputs`. Its requests are for [`piece`].
///
/// # Errors
/// When a name, a parameter or a role is not what is accepted, or the family (or what its settings choose) cannot be trained so.
pub fn trainer(
    name: &str,
    settings: &Settings,
    inputs: Vec<String>,
    roles: &Roles,
    seed: u64,
) -> Result<Box<dyn InBytes>> {
    let family = family(name)?;
    family.check(settings)?;
    family.check_targets(roles)?;
    family.check_event(roles)?;
    family.check_held_out(roles)?;
    if inputs.is_empty() {
        return Err(Error::Fit("no column is left as an input".into()));
    }
    match family.pieces {
        Some(pieces) => pieces(settings, inputs, roles, seed),
        None => {
            let able: Vec<&str> = FAMILIES.iter().filter(|f| f.pieces.is_some()).map(|f| f.name).collect();
            let what = format!("it needs its table in one memory; of pieces are trained {}", able.join(", "));
            Err(Error::parameter("model", name, what))
        }
    }
}

/// The answer of a piece of the table to a request.
///
/// # Errors
/// When the request is not one, or a row is not what it should be (named by its number in the piece).
pub fn piece(request: &[u8], piece: Piece<'_>) -> Result<Vec<u8>> {
    let end = request.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let (kind, request) = (&request[..end], request.get(end + 1..).unwrap_or_default());
    match std::str::from_utf8(kind).unwrap_or_default() {
        LINEAR => linear::partial(request, piece.table),
        BOOSTING => trees::partial::<GradientBoosting>(request, piece),
        FOREST => trees::partial::<RandomForest>(request, piece),
        _ => Err(Error::Worker("the request is of a kind that this version does not know".into())),
    }
}

/// A trainer whose requests tell who answers them.
pub(crate) struct Named(pub(crate) &'static str, pub(crate) Box<dyn InBytes>);

impl InBytes for Named {
    fn request(&self) -> Result<Option<Vec<u8>>> {
        let named = |request: Vec<u8>| [self.0.as_bytes(), b"\n", &request].concat();
        Ok(self.1.request()?.map(named))
    }
    fn advance(&mut self, partials: &[Vec<u8>]) -> Result<()> {
        self.1.advance(partials)
    }
    fn note(&self) -> String {
        self.1.note()
    }
    fn at_most(&self) -> u64 {
        self.1.at_most()
    }
    fn finish(self: Box<Self>) -> Result<Box<dyn Model>> {
        self.1.finish()
    }
}

#[cfg(test)]
mod tests;
