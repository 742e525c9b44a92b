//! Standard output as the process found it.
//!
//! Before `main`, Rust's runtime opens `/dev/null` in the place of a standard stream that is
//! closed. From then on a closed standard output cannot be distinguished from one that the caller
//! threw away, and not by the mode of the descriptor either: the null outputs of Python, Node and
//! `daemon(3)` are open for reading and writing too. The C library calls what `.init_array`
//! lists before that.

use std::sync::atomic::{AtomicBool, Ordering};

/// Returns true when the process was started with a closed standard output.
pub(crate) fn stdout_was_closed() -> bool {
    STDOUT_CLOSED.load(Ordering::Relaxed)
}

/// One system call, which needs neither the runtime nor the C library.
extern "C" fn look() {
    let is_closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err();
    STDOUT_CLOSED.store(is_closed, Ordering::Relaxed);
}

static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

#[expect(unsafe_code, reason = "the section is a list of such functions")]
#[cfg_attr(
    target_vendor = "apple",
    unsafe(link_section = "__DATA,__mod_init_func")
)]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[used]
static LOOK: extern "C" fn() = look;
