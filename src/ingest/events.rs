//! Pushed events: messages of dashboards, published as they are.

use chrono::{DateTime, Utc};

use super::fields::SentNames;
use super::messages::EventsAnswer;
use super::{Push, PushError, SOURCE};
use crate::domain::{Fault, Input, MessageType, RelayedMessage, iso};

/// Published messages, parsed by the dashboard that reads them. One event can become several messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushedEvents {
    /// A single event.
    One(MessageType, Vec<RelayedMessage>),
    /// A batch `{"events":[…]}`: the number of events, and their messages.
    Batch(usize, Vec<RelayedMessage>),
}

impl Push {
    /// Publishes one event or a batch, which is accepted or rejected as a whole. `read` parses the body at the given
    /// time, because only the dashboards know the shapes of the messages.
    ///
    /// # Errors
    /// [`PushError`]; nothing was published then.
    pub async fn events(
        &self,
        read: impl FnOnce(DateTime<Utc>) -> Result<PushedEvents, Vec<Fault>>,
    ) -> Result<EventsAnswer, PushError> {
        let taken = self.accept_events(read((self.clock)())).await;
        if let Ok((_, kinds)) = &taken {
            for kind in kinds {
                self.metrics.events_in_total.with_label_values(&[kind.name(), SOURCE]).inc();
            }
        }
        self.noted("event", taken).map(|(answer, _)| answer)
    }

    async fn accept_events(
        &self,
        events: Result<PushedEvents, Vec<Fault>>,
    ) -> Result<(EventsAnswer, Vec<MessageType>), PushError> {
        let (answer, messages) = match events.map_err(PushError::Invalid)? {
            PushedEvents::One(kind, messages) => {
                let (kind, timestamp) = (kind.name(), iso((self.clock)()));
                (EventsAnswer::One { success: true, message: "Event published", kind, timestamp }, messages)
            }
            PushedEvents::Batch(accepted, messages) => {
                (EventsAnswer::Batch { success: true, message: "Events published", accepted }, messages)
            }
        };
        let kinds = messages.iter().map(|message| message.kind).collect();
        self.submit(Input::Publish(messages), &SentNames::default()).await?;
        Ok((answer, kinds))
    }
}
