//! What a hub does wrong when told to.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use nostr::Event;

/// A question about an event.
pub type EventTest = Arc<dyn Fn(&Event) -> bool + Send + Sync>;

/// Faults of a hub. The default has none.
#[derive(Clone, Default)]
pub struct Faults {
    /// Of a thousand deliveries, how many vanish although the publisher was told OK.
    pub drop_permille: u16,
    /// Of a thousand deliveries, how many come a second time, past any suppression of repeats.
    pub repeat_permille: u16,
    /// Of a thousand deliveries, how many wait for a random time from `delay`, and so are overtaken by others.
    pub delay_permille: u16,
    /// How long a delayed delivery waits.
    pub delay: Range<Duration>,
    /// Every event is refused with this text; whoever does not wait for OKs learns nothing.
    pub refuse: Option<String>,
    /// Neither OK nor stored events are ever sent; live events still are.
    pub silent: bool,
    /// Every event is taken with an OK, and none is kept; what was kept before stays.
    pub keeps_nothing: bool,
    /// Events for which this holds vanish although the publisher was told OK.
    pub drop_if: Option<EventTest>,
}
