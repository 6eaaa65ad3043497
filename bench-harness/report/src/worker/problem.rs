//! What a worker is asked to compute.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// What to compute on what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which computation, e.g. `gemm`.
    pub kind: String,
    /// `f32` or `f64`.
    pub element: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// How matrices lie in memory.
    pub layout: Layout,
    /// Where the operands lie.
    pub folder: PathBuf,
}

/// How the matrices of a problem lie in memory. The default: row by row and packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The first operand is stored column by column.
    pub a_transposed: bool,
    /// So is the second.
    pub b_transposed: bool,
    /// Elements from one stored row to the next, of all matrices; 0: packed.
    pub leading: usize,
}

/// As BLAS calls it: `n` or `t` for each operand, then the leading dimension if there is one, e.g. `tn` or `nn1025`.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |transposed| if transposed { 't' } else { 'n' };
        write!(f, "{}{}", letter(self.a_transposed), letter(self.b_transposed))?;
        if self.leading > 0 { write!(f, "{}", self.leading) } else { Ok(()) }
    }
}

impl Layout {
    fn parse(word: &str) -> Option<Self> {
        let letter = |c| match c {
            b'n' => Some(false),
            b't' => Some(true),
            _ => None,
        };
        let (&[a, b], digits) = word.as_bytes().split_first_chunk()?;
        // Letters first: only then does the third byte begin a character.
        let (a_transposed, b_transposed) = (letter(a)?, letter(b)?);
        let leading = if digits.is_empty() { 0 } else { word[2..].parse().ok()? };
        Some(Self { a_transposed, b_transposed, leading })
    }

    /// In words that follow a shape, e.g. ` A^T` or ` ld 1025`; empty for the default.
    pub fn words(&self) -> String {
        let mut words = String::new();
        for (transposed, word) in [(self.a_transposed, " A^T"), (self.b_transposed, " B^T")] {
            words.push_str(if transposed { word } else { "" });
        }
        if self.leading > 0 { words + &format!(" ld {}", self.leading) } else { words }
    }
}

impl Problem {
    /// As a line of the protocol.
    pub(super) fn line(&self) -> String {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let (kind, element, layout) = (&self.kind, &self.element, &self.layout);
        format!("load {kind} {element} {} {layout} {}", shape.join("x"), self.folder.display())
    }

    /// From what follows `load`.
    pub(super) fn parse(words: &str) -> Option<Self> {
        let mut parts = words.splitn(5, ' ');
        let (kind, element) = (parts.next()?.into(), parts.next()?.into());
        let shape = parts.next()?.split('x').map(|n| n.parse().ok()).collect::<Option<_>>()?;
        let layout = Layout::parse(parts.next()?)?;
        Some(Self { kind, element, shape, layout, folder: parts.next()?.into() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.bin"))
    }

    /// Writes an operand for all workers to read.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, name: &str, values: &[f64]) -> io::Result<()> {
        let bytes: Vec<u8> = match self.element.as_str() {
            "f32" => values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        std::fs::write(self.file(name), bytes)
    }

    /// Reads an operand of f64.
    ///
    /// # Errors
    /// When the file cannot be read or holds another number of elements than `len`.
    pub fn doubles(&self, name: &str, len: usize) -> io::Result<Vec<f64>> {
        Ok(super::doubles(&self.read(name, len * 8)?))
    }

    /// Reads an operand without holding it twice, which would count where memory is what is measured.
    ///
    /// # Errors
    /// When the file cannot be read or holds another number of elements than `len`.
    #[cfg(feature = "operands")]
    pub fn elements<T: super::Element>(&self, name: &str, len: usize) -> io::Result<Vec<T>> {
        use std::io::Read;
        let mut file = std::fs::File::open(self.file(name))?;
        let (found, wanted) = (file.metadata()?.len(), (len * size_of::<T>()) as u64);
        if found != wanted {
            return Err(io::Error::other(format!("operand {name} has {found} bytes, not {wanted}")));
        }
        let mut values = vec![T::zeroed(); len];
        file.read_exact(bytemuck::cast_slice_mut(&mut values))?;
        Ok(values)
    }

    /// The bytes of an operand.
    pub(super) fn read(&self, name: &str, bytes: usize) -> io::Result<Vec<u8>> {
        let found = std::fs::read(self.file(name))?;
        if found.len() != bytes {
            return Err(io::Error::other(format!("operand {name} has {} bytes, not {bytes}", found.len())));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_survive_the_protocol() {
        for word in ["nn", "tn", "nt", "tt", "nn1025", "tt7"] {
            assert_eq!(Layout::parse(word).unwrap().to_string(), word);
        }
        for word in ["", "n", "xn", "nn-1", "n\u{e9}", "nnx"] {
            assert_eq!(Layout::parse(word), None, "{word}");
        }
        let layout = Layout { a_transposed: true, b_transposed: true, leading: 9 };
        assert_eq!((layout.words(), Layout::default().words()), (" A^T B^T ld 9".into(), String::new()));
        let (kind, element) = ("gemm".to_string(), "f32".to_string());
        let problem = Problem { kind, element, shape: vec![1, 2, 3], layout, folder: "/a b".into() };
        assert_eq!(Problem::parse(problem.line().strip_prefix("load ").unwrap()), Some(problem));
    }
}
