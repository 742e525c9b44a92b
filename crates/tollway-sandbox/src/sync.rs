//! Locks that ignore poisoning.
//!
//! Every holder in this crate finishes with one insertion or assignment, so a panic leaves no
//! half-made state that a later holder could find.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock, poisoned or not.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
