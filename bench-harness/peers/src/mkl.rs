//! What MKL says about itself.

use crate::word_after;
use libloading::Library;
use std::ffi::{CStr, c_char, c_int};

/// Version and configuration. It must have computed something: only then has it loaded the kernels that it chose for the
/// processor, `libmkl_avx512.so.3` or others. There is no function that tells which.
pub fn told(library: &Library) -> (String, String) {
    let text = introduction(library);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let names = maps.lines().filter_map(|line| line.rsplit('/').next());
    let mut kernels: Vec<&str> = names.filter(|name| name.starts_with("libmkl_")).collect();
    kernels.sort_unstable();
    kernels.dedup();
    (word_after(&text, "Version"), format!("{text}, {}", kernels.join(" ")))
}

fn introduction(library: &Library) -> String {
    let mut buffer = [0 as c_char; 256];
    // SAFETY: MKL documents mkl_get_version_string(char *, int); the buffer has one byte more than is told, which stays 0.
    unsafe {
        if let Ok(function) =
            library.get::<unsafe extern "C" fn(*mut c_char, c_int)>(b"mkl_get_version_string")
        {
            function(buffer.as_mut_ptr(), 255);
        }
        CStr::from_ptr(buffer.as_ptr()).to_string_lossy().trim().into()
    }
}
