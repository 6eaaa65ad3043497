//! What rows bring to a histogram, and what its cells hold.

use crate::matrix::below;
use crate::{ShapeError, parallel};

/// A gradient and a hessian (or any two integers) in one 64-bit number, 2^32 gradient + hessian.
///
/// Numbers of this form are added with one addition. Additions wrap, so only the *total* matters: it is exact as long as
/// both of its parts fit an `i32`, whatever happened on the way. Twice as many bins fit in cache as with [`Pair`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Packed(pub i64);

impl Packed {
    /// Packs two integers.
    ///
    /// ```
    /// use tilewise_kernels::tree::Packed;
    /// let sum = Packed::new(-7, 3) + Packed::new(2, -5);
    /// assert_eq!((sum.gradient(), sum.hessian()), (-5, -2));
    /// ```
    #[inline(always)]
    pub fn new(gradient: i32, hessian: i32) -> Self {
        Self(((gradient as i64) << 32).wrapping_add(hessian as i64))
    }
    /// The first of the two.
    #[inline(always)]
    pub fn gradient(self) -> i32 {
        // A negative hessian has borrowed one from the gradient.
        (self.0.wrapping_sub(self.hessian() as i64) >> 32) as i32
    }
    /// The second of the two.
    #[inline(always)]
    pub fn hessian(self) -> i32 {
        self.0 as i32
    }
}
impl std::ops::Add for Packed {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}
impl std::ops::Sub for Packed {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

/// A gradient and a hessian (or any two integers), 64 bits each. Additions wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Pair {
    /// The first of the two.
    pub gradient: i64,
    /// The second of the two.
    pub hessian: i64,
}
impl std::ops::Add for Pair {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self {
            gradient: self.gradient.wrapping_add(other.gradient),
            hessian: self.hessian.wrapping_add(other.hessian),
        }
    }
}
impl std::ops::Sub for Pair {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self {
            gradient: self.gradient.wrapping_sub(other.gradient),
            hessian: self.hessian.wrapping_sub(other.hessian),
        }
    }
}
impl From<Packed> for Pair {
    #[inline(always)]
    fn from(packed: Packed) -> Self {
        Self { gradient: packed.gradient().into(), hessian: packed.hessian().into() }
    }
}

/// The class of a row and how much it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ClassWeight {
    /// Number of the class.
    pub class: u32,
    /// What is added to the count.
    pub weight: u32,
}

/// The packed gradients of all rows, with the largest of them, from which follows how many can be added.
#[derive(Clone, Copy, Debug)]
pub struct Gradients<'a> {
    pub(super) values: &'a [Packed],
    pub(super) largest: u32,
}

impl<'a> Gradients<'a> {
    /// Reads them once: do it once for a tree.
    pub fn new(values: &'a [Packed]) -> Self {
        let of = |v: &Packed| v.gradient().unsigned_abs().max(v.hessian().unsigned_abs());
        let chunk = parallel::GRAIN_BYTES / size_of::<Packed>();
        let largest = |part: std::ops::Range<usize>| values[part].iter().map(of).fold(0, u32::max);
        Self { values, largest: parallel::map_reduce(values.len(), chunk, largest, u32::max).unwrap_or(0) }
    }
    /// For a caller who knows a bound of the magnitudes of gradients and hessians. Sums may be wrong when it is too small.
    pub fn bounded(values: &'a [Packed], largest: u32) -> Self {
        Self { values, largest }
    }
    /// The largest magnitude of a gradient or hessian, or the bound given.
    pub fn largest(&self) -> u32 {
        self.largest
    }
    /// How many rows, whichever, can be added in [`Packed`] cells.
    pub fn rows_that_fit(&self) -> usize {
        (i32::MAX as u32).checked_div(self.largest).map_or(usize::MAX, |rows| rows as usize)
    }
}

/// The classes and weights of all rows, with the largest weight, from which follows how many can be added.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    pub(super) values: &'a [ClassWeight],
    pub(super) classes: usize,
    largest: u32,
}

impl<'a> Labels<'a> {
    /// Reads them once: do it once for a data set or a tree.
    ///
    /// # Errors
    /// When a class is not below `classes`.
    pub fn new(values: &'a [ClassWeight], classes: usize) -> Result<Self, ShapeError> {
        let most = |a: ClassWeight, b: ClassWeight| ClassWeight {
            class: a.class.max(b.class),
            weight: a.weight.max(b.weight),
        };
        let chunk = parallel::GRAIN_BYTES / size_of::<ClassWeight>();
        let of =
            |part: std::ops::Range<usize>| values[part].iter().copied().fold(ClassWeight::default(), most);
        let most = parallel::map_reduce(values.len(), chunk, of, most);
        most.map_or(Ok(()), |most| below("a class", classes, most.class as usize))?;
        Ok(Self { values, classes, largest: most.map_or(0, |most| most.weight) })
    }
    /// For a caller who had them checked by [`Labels::new`] before, and knows that the weights of all rows that it names can
    /// be added: counts may be wrong, and a class that is too large a panic, where that is not so.
    ///
    /// ```
    /// use tilewise_kernels::tree::{ClassWeight, Labels};
    /// // One heavy row among light ones: together they fit.
    /// let values = [ClassWeight { class: 0, weight: u32::MAX - 2 }, ClassWeight { class: 1, weight: 1 }];
    /// assert_eq!(Labels::new(&values, 2).unwrap().rows_that_fit(), 1);
    /// assert_eq!(Labels::checked(&values, 2).rows_that_fit(), usize::MAX);
    /// ```
    pub fn checked(values: &'a [ClassWeight], classes: usize) -> Self {
        Self { values, classes, largest: 0 }
    }
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }
    /// How many rows, whichever, can be added in `u32` cells.
    pub fn rows_that_fit(&self) -> usize {
        u32::MAX.checked_div(self.largest).map_or(usize::MAX, |rows| rows as usize)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Packed {}
    impl Sealed for super::Pair {}
    impl Sealed for u32 {}
}

/// What cells of a histogram hold: [`Packed`], [`Pair`] or `u32`.
pub trait Cell:
    sealed::Sealed + Copy + Default + PartialEq + std::fmt::Debug + Send + Sync + 'static
{
    /// The sum; it wraps, so that order cannot matter even where the total does not fit.
    fn plus(self, other: Self) -> Self;
    /// The difference; it wraps.
    fn minus(self, other: Self) -> Self;
}
impl Cell for Packed {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self - other
    }
}
impl Cell for Pair {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self - other
    }
}
impl Cell for u32 {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
}
