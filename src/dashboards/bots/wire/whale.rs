//! The movements of large holders, summed up like on the page.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::dashboards::bots::publish::decimals;
use crate::dashboards::bots::types;
use crate::domain::number::number;
use crate::domain::{Event, RelayedMessage, iso};
use crate::hub::Envelope;
use crate::transport::shape::json_number;

/// Inflow and outflow of one exchange.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = bots::ExchangeFlow)]
struct ExchangeFlow {
    #[serde(serialize_with = "number")]
    #[schema(required)]
    inflow: f64,
    #[serde(serialize_with = "number")]
    #[schema(required)]
    outflow: f64,
    #[serde(serialize_with = "number")]
    #[schema(required)]
    net_flow: f64,
}

/// Inflow and outflow of all exchanges.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = bots::FlowTotal)]
struct FlowTotal {
    #[serde(serialize_with = "number")]
    #[schema(required)]
    total_inflow: f64,
    #[serde(serialize_with = "number")]
    #[schema(required)]
    total_outflow: f64,
    #[serde(serialize_with = "number")]
    #[schema(required)]
    net_flow: f64,
}

/// The sums of the retained movements.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = bots::WhaleFlows)]
pub(super) struct WhaleSums {
    #[schema(required)]
    exchanges: BTreeMap<String, BTreeMap<String, ExchangeFlow>>,
    #[schema(required)]
    summary: BTreeMap<String, FlowTotal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_update: Option<String>,
}

impl WhaleSums {
    /// Sums up published messages, oldest first. Published sums replace all previous ones.
    pub(super) fn of<'a>(messages: impl Iterator<Item = &'a RelayedMessage>) -> Self {
        let mut sums = Self::default();
        for message in messages.filter(|message| message.kind == types::WHALE) {
            let Ok(data) = serde_json::from_str::<Map<String, Value>>(&message.data) else { continue };
            if data.contains_key("exchanges") {
                sums = serde_json::from_value(data.into()).unwrap_or_default();
                sums.compute_totals();
            } else {
                sums.add(&data);
            }
            sums.last_update = Some(iso(message.at));
        }
        sums
    }

    /// Computes the fields that follow from inflow and outflow, which a publisher may omit.
    fn compute_totals(&mut self) {
        for flow in self.exchanges.values_mut().flat_map(BTreeMap::values_mut) {
            flow.net_flow = decimals(flow.inflow - flow.outflow);
        }
        let mut totals: BTreeMap<String, FlowTotal> = BTreeMap::new();
        for (coin, flow) in self.exchanges.values().flatten() {
            let total = totals.entry(coin.clone()).or_default();
            total.total_inflow = decimals(total.total_inflow + flow.inflow);
            total.total_outflow = decimals(total.total_outflow + flow.outflow);
        }
        for (coin, total) in totals {
            self.summary.entry(coin).or_insert(total);
        }
        for total in self.summary.values_mut() {
            total.net_flow = decimals(total.total_inflow - total.total_outflow);
        }
    }

    fn add(&mut self, movement: &Map<String, Value>) {
        let text = |name: &str| movement.get(name).and_then(Value::as_str);
        let (Some(exchange), Some(coin)) = (text("platform"), text("coin")) else { return };
        let Some(amount) = movement.get("amount").and_then(Value::as_f64) else { return };
        let flow = self.exchanges.entry(exchange.to_owned()).or_default().entry(coin.to_owned()).or_default();
        let total = self.summary.entry(coin.to_owned()).or_default();
        let (side, sum) = if text("flow_type") == Some("inflow") {
            (&mut flow.inflow, &mut total.total_inflow)
        } else {
            (&mut flow.outflow, &mut total.total_outflow)
        };
        *side = decimals(*side + amount);
        *sum = decimals(*sum + amount);
        flow.net_flow = decimals(flow.inflow - flow.outflow);
        total.net_flow = decimals(total.total_inflow - total.total_outflow);
    }
}

/// Returns a movement with the sums up to it, which the page merges into its own, or published sums with their derived
/// fields.
pub(super) fn with_sums<'a>(published: &'a RelayedMessage, history: &[Arc<Envelope>]) -> Cow<'a, str> {
    let Ok(mut data) = serde_json::from_str::<Map<String, Value>>(&published.data) else {
        return Cow::Borrowed(&published.data);
    };
    if let Some(exchanges) = data.get_mut("exchanges") {
        let coins = exchanges.as_object_mut().into_iter().flatten().filter_map(|(_, coins)| coins.as_object_mut());
        for flow in coins.flatten().filter_map(|(_, flow)| flow.as_object_mut()) {
            let amount = |name: &str| flow.get(name).and_then(Value::as_f64).unwrap_or_default();
            let net_flow = decimals(amount("inflow") - amount("outflow"));
            flow.entry("net_flow").or_insert_with(|| json_number(net_flow));
        }
        let settled = serde_json::to_value(WhaleSums::of(std::iter::once(published)).summary).unwrap_or_default();
        if let (Value::Object(settled), Some(summary)) =
            (settled, data.entry("summary").or_insert_with(|| Map::new().into()).as_object_mut())
        {
            for (coin, total) in settled {
                summary.entry(coin).or_insert(total);
            }
        }
    } else {
        let until = history.iter().filter_map(|publication| match publication.event() {
            Event::RelayedMessage(message) if message.seq < published.seq && message.audience == published.audience => {
                Some(message.as_ref())
            }
            _ => None,
        });
        if let Ok(Value::Object(sums)) = serde_json::to_value(WhaleSums::of(until.chain([published]))) {
            data.extend(sums);
        }
    }
    serde_json::to_string(&data).map_or(Cow::Borrowed(&published.data), Cow::Owned)
}
