//! Vectors of the problems of `compare vector`: x and y are read, z is written by additions.

use std::io;
use tilewise_report::worker::{Element, Job, Memory, Problem};

/// A pass over x, y and z; a sum answers its value, other passes 0.
pub type Pass<T> = Box<dyn FnMut(&mut [T], &mut [T], &mut [T]) -> T>;

/// A pass with its vectors.
pub struct Vectors<T> {
    pass: Pass<T>,
    memory: Memory<T, 3>,
    kind: String,
    sum: T,
}

impl<T: Element> Vectors<T> {
    /// Reads the vectors.
    ///
    /// # Errors
    /// When there are none, or other ones.
    pub fn read(problem: &Problem, pass: Pass<T>) -> Result<Self, String> {
        let &[n] = problem.shape.as_slice() else { return Err("expected vectors".into()) };
        let read = || {
            let mut memory = Memory::new([n; 3])?;
            memory.read(0, problem, "x")?;
            memory.read(1, problem, "y")?;
            Ok(memory)
        };
        let memory = read().map_err(|error: io::Error| error.to_string())?;
        Ok(Self { pass, memory, kind: problem.kind.clone(), sum: T::NAN })
    }
}

impl<T: Element> Job for Vectors<T> {
    fn run(&mut self, times: u64) -> Result<(), String> {
        let [x, y, z] = self.memory.arrays();
        (0..times).for_each(|_| self.sum = (self.pass)(x, y, z));
        Ok(())
    }

    fn result(&self) -> Vec<f64> {
        match self.kind.as_str() {
            "add" => self.memory.wide(2),
            "axpy" => self.memory.wide(1),
            "scale" => self.memory.wide(0),
            _ => vec![self.sum.into()],
        }
    }
}
