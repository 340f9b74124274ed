//! The tools, and the routes that they are.

use std::sync::Arc;

use http::Method;
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

use super::schema;

/// A tool as it is declared: everything else comes from the description of its route.
struct Declaration {
    name: &'static str,
    title: &'static str,
    /// The id of the route's operation.
    operation: &'static str,
    /// What a model has to know to choose it and to use it.
    text: &'static str,
    writes: bool,
    /// Whether it ends something for good.
    ends: bool,
}

const fn reading(name: &'static str, title: &'static str, operation: &'static str, text: &'static str) -> Declaration {
    Declaration { name, title, operation, text, writes: false, ends: false }
}

const DECLARED: [Declaration; 8] = [
    reading(
        "get_prices",
        "Last prices",
        "get_prices",
        "Returns the last price of every instrument, with bid and ask where they are known. `quality` says what a price is \
         worth: only `live` is a current market price; `simulated` and `replayed` are not from a market.",
    ),
    reading(
        "list_signals",
        "List signals",
        "list_signals",
        "Lists trading signals, newest first. To get what is new since a call, pass its `cursor` as `since`; to get the \
         next page, pass its `next` as `before`.",
    ),
    reading(
        "get_signal",
        "One signal",
        "get_signal",
        "Returns a signal by its id, with the history of its states and, once it is known, the outcome of its trade in R. \
         With `risk`, also the position size that loses this amount at the stop.",
    ),
    reading(
        "get_stats",
        "Track record",
        "get_stats",
        "Returns how confirmed signals have done, in multiples of the risk (R): counts, hit rate, expectancy, by setup, \
         killzone and source. `note` says how much they are worth.",
    ),
    reading(
        "get_bars",
        "Bars",
        "get_bars",
        "Returns the latest bars (open, high, low, close, volume) of an instrument, oldest first.",
    ),
    reading(
        "killzones",
        "Killzone clock",
        "get_killzones",
        "Returns the open killzone (a session window in New York time), the seconds to the next one, and the hours of each \
         instrument's market.",
    ),
    Declaration {
        name: "push_signal",
        title: "Push a signal",
        operation: "push_signal",
        text: "Publishes a trading signal on every dashboard at once. A new `id` makes a signal; the same `id` changes it while \
               it is pending, and sending the same again is safe. Call it with `dry_run` true first: that checks everything \
               the real call checks, and changes nothing. An error names each invalid field with its remedy: correct them \
               and call again.",
        writes: true,
        ends: false,
    },
    Declaration {
        name: "update_signal",
        title: "End a signal",
        operation: "end_signal",
        text: "Ends a pending signal: `confirmed`, or `invalidated` with a reason. An ended signal never changes again. With \
               `dry_run` true it only checks.",
        writes: true,
        ends: true,
    },
];

/// Where an argument goes in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Body,
}

/// A tool with its route.
#[derive(Debug)]
pub(super) struct AgentTool {
    /// The tool as clients see it.
    pub(super) tool: Tool,
    pub(super) writes: bool,
    pub(super) method: Method,
    /// The path of the route, with the names of its arguments in braces.
    pub(super) path: String,
    /// Whether the route reads a body, which may have fields beside the described ones.
    pub(super) has_body: bool,
    /// Where each argument goes.
    places: Vec<(String, Place)>,
    /// A valid call.
    pub(super) example: Map<String, Value>,
}

impl AgentTool {
    /// Returns where an argument goes; `None` if the tool does not have it.
    pub(super) fn place(&self, argument: &str) -> Option<Place> {
        let declared = self.places.iter().find(|(name, _)| name == argument).map(|(_, place)| *place);
        declared.or_else(|| self.has_body.then_some(Place::Body))
    }

    /// Returns the names of the described arguments.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the schema of an argument.
    pub(super) fn argument(&self, name: &str) -> Option<&Value> {
        self.tool.input_schema.get("properties")?.get(name)
    }
}

/// Makes the tools from the description of the HTTP interface. A tool without its route is left out.
pub(super) fn tools(api: &Value) -> Vec<AgentTool> {
    DECLARED.iter().filter_map(|declared| tool(api, declared)).collect()
}

fn tool(api: &Value, declared: &Declaration) -> Option<AgentTool> {
    let mut operations = api["paths"].as_object()?.iter().flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().map(move |(method, operation)| (path, method, operation))
    });
    let (path, method, operation) =
        operations.find(|(_, _, operation)| operation["operationId"] == declared.operation)?;
    let mut input = Arguments::default();
    let body = operation.pointer("/requestBody/content/application~1json/schema");
    if let Some(body) = body {
        let schema = schema::argument(api, body);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            input.add(name, Place::Body, property.clone(), schema["example"].get(name));
        }
        input.required = schema["required"].as_array().cloned().unwrap_or_default();
    }
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str()?;
        let place = if parameter["in"] == "path" { Place::Path } else { Place::Query };
        // A body has it too: the parameter is for bodies that are text.
        if place == Place::Query && input.properties.contains_key(name) {
            continue;
        }
        let mut property = schema::argument(api, &parameter["schema"]);
        property["description"] = parameter["description"].clone();
        if parameter["required"] == true {
            input.required.push(name.into());
        }
        input.add(name, place, property, parameter.get("example"));
    }
    let output = schema::answer(api, operation.pointer("/responses/200/content/application~1json/schema")?);
    let annotations = ToolAnnotations::with_title(declared.title)
        .read_only(!declared.writes)
        .destructive(declared.ends)
        .idempotent(true)
        .open_world(false);
    let (writes, has_body) = (declared.writes, body.is_some());
    let tool = Tool::new(declared.name, declared.text, Arc::new(input.schema(has_body)))
        .with_title(declared.title)
        .with_raw_output_schema(Arc::new(output))
        .with_annotations(annotations);
    let method = method.to_uppercase().parse().ok()?;
    Some(AgentTool { tool, writes, method, path: path.clone(), has_body, places: input.places, example: input.example })
}

/// The arguments of a tool while they are collected.
#[derive(Debug, Default)]
struct Arguments {
    properties: Map<String, Value>,
    required: Vec<Value>,
    places: Vec<(String, Place)>,
    example: Map<String, Value>,
}

impl Arguments {
    fn add(&mut self, name: &str, place: Place, mut schema: Value, example: Option<&Value>) {
        if let Some(example) = example {
            schema["examples"] = json!([example]);
            self.example.insert(name.to_owned(), example.clone());
        }
        self.properties.insert(name.to_owned(), schema);
        self.places.push((name.to_owned(), place));
    }

    /// Returns the schema of all arguments. A body may have more fields than the described ones: it has many spellings.
    fn schema(&self, has_body: bool) -> Map<String, Value> {
        let mut schema = Map::from_iter([
            ("type".to_owned(), "object".into()),
            ("properties".to_owned(), self.properties.clone().into()),
        ]);
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), self.required.clone().into());
        }
        if !has_body {
            schema.insert("additionalProperties".to_owned(), false.into());
        }
        schema
    }
}
