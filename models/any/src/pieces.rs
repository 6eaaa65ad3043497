//! Training of a table that lies in pieces, by whoever holds them: a cluster, say. Requests and answers are bytes.

use crate::{FAMILIES, Settings, family};
use tilewise_base::{Error, InBytes, Model, Result, Roles, StoredTable};
use tilewise_linear::pipeline::rounds as linear;

/// How a family's trainer for pieces is made: of settings, inputs and roles.
pub(crate) type Pieces = fn(&Settings, Vec<String>, &Roles) -> Result<Box<dyn InBytes>>;

/// What requests of linear pipelines begin with.
pub(crate) const LINEAR: &str = "linear";

/// A trainer of the family called `name`, of the columns `inputs`. Its requests are for [`piece`].
///
/// # Errors
/// When a name, a parameter or a role is not what is accepted, or the family (or what its settings choose) cannot be trained so.
pub fn trainer(
    name: &str,
    settings: &Settings,
    inputs: Vec<String>,
    roles: &Roles,
) -> Result<Box<dyn InBytes>> {
    let family = family(name)?;
    family.check(settings)?;
    family.check_targets(roles)?;
    family.check_event(roles)?;
    if inputs.is_empty() {
        return Err(Error::Fit("no column is left as an input".into()));
    }
    match family.pieces {
        Some(pieces) => pieces(settings, inputs, roles),
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
pub fn piece(request: &[u8], table: &StoredTable) -> Result<Vec<u8>> {
    let end = request.iter().position(|&byte| byte == b'\n');
    match end.map(|end| (&request[..end], &request[end + 1..])) {
        Some((kind, request)) if kind == LINEAR.as_bytes() => linear::partial(request, table),
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
mod tests {
    use super::*;
    use crate::{load_bytes, train};
    use tilewise_base::{Column, Context, Dataset};

    fn table() -> Dataset {
        let x: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 40)).collect();
        let y = x.iter().map(|x| f64::from(u8::from(*x > 11.0)) + 1.0).collect();
        Dataset::new(vec![("x".into(), Column::F64(x.into())), ("y".into(), Column::F64(y))]).unwrap()
    }

    #[test]
    fn families_that_are_trained_on_pieces_give_their_model() {
        let folder = std::env::temp_dir().join(format!("tilewise-families-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let piece = StoredTable::create(&folder.join("0.part"), &table()).unwrap();
        let mut tried = Vec::new();
        for family in FAMILIES.iter().filter(|family| family.pieces.is_some()) {
            let (roles, settings) = (Roles::target("y"), Settings::default());
            let mut trainer = trainer(family.name, &settings, vec!["x".into()], &roles).unwrap();
            while let Some(request) = trainer.request().unwrap() {
                trainer.advance(&[super::piece(&request, &piece).unwrap()]).unwrap();
            }
            let bytes = trainer.finish().unwrap().to_bytes().unwrap();
            let whole = train(family.name, &table(), &roles, &settings, &Context::default()).unwrap();
            assert_eq!(bytes, whole.to_bytes().unwrap(), "{}", family.name);
            assert_eq!(load_bytes(&bytes).unwrap().kind(), family.name);
            tried.push(family.name);
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(tried, ["linear", "ridge", "logistic", "poisson", "gamma", "tweedie"]);
    }

    #[test]
    fn others_are_refused_by_name() {
        let told = |name: &str, settings: &Settings, inputs: &[&str]| {
            let inputs = inputs.iter().map(ToString::to_string).collect();
            trainer(name, settings, inputs, &Roles::target("y"))
                .err()
                .map(|e| e.to_string())
                .unwrap_or_default()
        };
        let none = Settings::default();
        assert!(told("forest", &none, &["x"]).contains("of pieces are trained linear, ridge, logistic"));
        assert!(told("lasso", &none, &["x"]).contains("lasso"));
        assert!(told("lineal", &none, &["x"]).contains("lineal"));
        assert!(told("linear", &none, &[]).contains("no column is left"));
        assert!(told("linear", &none.clone().with("errors", "classical"), &["x"]).contains("errors"));
        assert!(
            told("linear", &none.clone().with("solver", "gradient-descent"), &["x"]).contains("one memory")
        );
        assert!(told("linear", &none.with("alpha", 1), &["x"]).contains("alpha"));
    }
}
