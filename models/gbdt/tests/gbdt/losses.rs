//! Losses against finite differences and definitions, and what holds for all of them.

mod cases;
mod definitions;
mod domains;
mod leaves;
mod promises;
mod rankings;
mod speed;
mod survival;
