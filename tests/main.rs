//! One test binary: end-to-end behaviour across rooms. What a room promises alone is tested in the room.

mod allocation; // what allocates nothing
mod bad_input; // tables from which little can be learned
mod binary; // how tests run `tilewise`
mod command_line; // same bytes and answers, whatever the process, threads, order of columns
mod counting; // an allocator that counts
mod foreign_models; // models of LightGBM, XGBoost and CatBoost
mod fuzz; // mutated model files
mod fuzz_foreign; // mutated models of other libraries
mod hostile_files; // damaged model files
mod memory; // tables beyond the memory limit
mod several; // files that are one table
mod shared_data; // quality on real data, against scikit-learn
mod surgery; // model files taken apart
mod targets; // several target columns
mod tidy; // rules of the house
mod unseen; // categories that training did not see
mod wide_categories; // categories of very many levels
