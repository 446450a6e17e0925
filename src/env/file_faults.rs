//! File operations of this thread that fail when a test wants them to: the way to stop a program between any two of
//! them. Without a test they are counted, and that is all.

use std::cell::Cell;
use std::io;

/// What goes wrong with the file operations of this thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFault {
    /// From operation `at` on (counted from the last [`set_file_fault`]) all fail, as if the process were gone.
    Crash {
        /// The first that fails.
        at: u64,
    },
    /// Operation `at` fails; those after it work.
    Fail {
        /// The one that fails.
        at: u64,
    },
}

thread_local! {
    static FAULT: Cell<Option<FileFault>> = const { Cell::new(None) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Sets what goes wrong from now on in this thread, and begins to count anew.
pub fn set_file_fault(fault: Option<FileFault>) {
    FAULT.set(fault);
    COUNT.set(0);
}

/// File operations of this thread since the last [`set_file_fault`].
pub fn file_step_count() -> u64 {
    COUNT.get()
}

/// To be called before a file operation that a crash may come before.
///
/// # Errors
/// The operation is to fail.
pub fn file_step() -> io::Result<()> {
    let index = COUNT.get();
    COUNT.set(index + 1);
    match FAULT.get() {
        Some(FileFault::Crash { at }) if index >= at => Err(io::Error::other("the process is gone")),
        Some(FileFault::Fail { at }) if index == at => Err(io::Error::other("input/output error")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_operations_fail_where_they_were_told_to() {
        let outcomes = |fault| {
            set_file_fault(Some(fault));
            let outcomes = [0; 4].map(|_| file_step().is_ok());
            assert_eq!(file_step_count(), 4);
            set_file_fault(None);
            outcomes
        };
        assert_eq!(outcomes(FileFault::Fail { at: 1 }), [true, false, true, true]);
        assert_eq!(outcomes(FileFault::Crash { at: 2 }), [true, true, false, false]);
        assert!(file_step().is_ok());
    }
}
