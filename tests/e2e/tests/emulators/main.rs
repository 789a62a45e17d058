//! The same bits everywhere: firmware on emulated boards, programs on emulated cores and under emulated Linux.
//!
//! One program, so that one test's firmware is built while another's runs; a module is run by its name, as in
//! `cargo test -p sprat-e2e --test emulators boards`.

mod boards;
mod conversations;
mod emulated;
mod kernels_on_target;
mod linux;
mod models_on_target;
mod raspberry_pi_bare;
mod server;
