//! What the code under the targets says is wrong, for whoever wants to know.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

thread_local! {
    static SAID: RefCell<Option<BTreeSet<String>>> = const { RefCell::new(None) };
}

/// Notes a message, if anybody listens.
pub fn note(message: &dyn Display) {
    SAID.with_borrow_mut(|said| said.as_mut().map(|said| said.insert(message.to_string())));
}

/// All that is said while `work` is done by this thread.
pub fn listen(work: impl FnOnce()) -> BTreeSet<String> {
    SAID.set(Some(BTreeSet::new()));
    work();
    SAID.take().unwrap_or_default()
}
