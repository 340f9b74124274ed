//! JSON Schemas of tools, from the description of the HTTP interface.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Where the description has its schemas.
const COMPONENTS: &str = "#/components/schemas/";
/// Keys whose values are data, not schemas.
const DATA: [&str; 4] = ["enum", "example", "examples", "default"];

/// Returns the component that a reference names.
fn component<'a>(api: &'a Value, reference: &str) -> Option<&'a Value> {
    api["components"]["schemas"].get(reference.strip_prefix(COMPONENTS)?)
}

/// Returns a schema of an argument: without references, because many models do not follow them, and without null, because
/// an argument that is not there is left out. The types of bodies are not recursive.
pub(super) fn argument(api: &Value, schema: &Value) -> Value {
    let Value::Object(schema) = schema else { return schema.clone() };
    let mut plain = Map::new();
    for (key, value) in schema {
        match (key.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                let Some(Value::Object(of)) = component(api, reference).map(|of| argument(api, of)) else { continue };
                extend(&mut plain, of);
            }
            ("oneOf", Value::Array(choices)) => {
                let mut choices: Vec<_> = choices.iter().filter(|choice| choice["type"] != "null").collect();
                match choices.pop().map(|only| argument(api, only)) {
                    Some(Value::Object(only)) if choices.is_empty() => extend(&mut plain, only),
                    _ => drop(plain.insert(key.clone(), value.clone())),
                }
            }
            ("type", Value::Array(types)) => {
                let types: Vec<_> = types.iter().filter(|name| *name != "null").cloned().collect();
                let kind = if let [only] = &types[..] { only.clone() } else { types.into() };
                plain.insert(key.clone(), kind);
            }
            (name, data) if DATA.contains(&name) => drop(plain.insert(key.clone(), data.clone())),
            ("properties", Value::Object(properties)) => {
                let properties = properties.iter().map(|(name, of)| (name.clone(), argument(api, of)));
                plain.insert(key.clone(), properties.collect::<Map<_, _>>().into());
            }
            _ => drop(plain.insert(key.clone(), argument(api, value))),
        }
    }
    plain.into()
}

/// Adds what is not there: what stands beside a reference describes the use of it.
fn extend(schema: &mut Map<String, Value>, of: Map<String, Value>) {
    for (key, value) in of {
        schema.entry(key).or_insert(value);
    }
}

/// Returns the schema of an answer: an object with the definitions that it refers to.
pub(super) fn answer(api: &Value, schema: &Value) -> Map<String, Value> {
    let root = schema["$ref"].as_str().and_then(|reference| component(api, reference)).unwrap_or(schema);
    let mut names = BTreeSet::new();
    references(api, root, &mut names);
    let mut definitions = Map::new();
    for name in names {
        if let Some(of) = component(api, &format!("{COMPONENTS}{name}")) {
            definitions.insert(name, moved(of));
        }
    }
    let mut answer = match moved(root) {
        Value::Object(root) => root,
        other => Map::from_iter([("allOf".to_owned(), json!([other]))]),
    };
    answer.insert("type".to_owned(), "object".into());
    if !definitions.is_empty() {
        answer.insert("$defs".to_owned(), definitions.into());
    }
    answer
}

/// Collects the names of all components that a schema refers to.
fn references(api: &Value, schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str)
                && let Some(name) = reference.strip_prefix(COMPONENTS)
                && names.insert(name.to_owned())
                && let Some(of) = component(api, reference)
            {
                references(api, of, names);
            }
            fields.values().for_each(|value| references(api, value, names));
        }
        Value::Array(items) => items.iter().for_each(|item| references(api, item, names)),
        _ => {}
    }
}

/// Returns a schema whose references point to the definitions beside it.
fn moved(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let moved = fields.iter().map(|(key, value)| match value {
                Value::String(reference) if key == "$ref" => {
                    (key.clone(), reference.replace(COMPONENTS, "#/$defs/").into())
                }
                other => (key.clone(), moved(other)),
            });
            moved.collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(moved).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> Value {
        json!({"components": {"schemas": {
            "Side": {"type": "string", "enum": ["long", "short"], "description": "A side."},
            "Order": {"type": "object", "required": ["side"], "properties": {
                "side": {"$ref": "#/components/schemas/Side", "description": "Of the order."},
                "stop": {"type": ["number", "null"]},
                "hedge": {"oneOf": [{"$ref": "#/components/schemas/Side"}, {"type": "null"}]},
            }},
        }}})
    }

    #[test]
    fn arguments_have_neither_references_nor_null() {
        let schema = argument(&api(), &json!({"$ref": "#/components/schemas/Order"}));
        assert_eq!(
            schema,
            json!({"type": "object", "required": ["side"], "properties": {
                "side": {"type": "string", "enum": ["long", "short"], "description": "Of the order."},
                "stop": {"type": "number"},
                "hedge": {"type": "string", "enum": ["long", "short"], "description": "A side."},
            }})
        );
    }

    #[test]
    fn an_answer_brings_its_definitions() {
        let schema = answer(&api(), &json!({"$ref": "#/components/schemas/Order"}));
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["properties"]["side"]["$ref"], "#/$defs/Side");
        assert_eq!(schema["$defs"]["Side"]["enum"], json!(["long", "short"]));
        assert!(schema["$defs"].get("Order").is_none());
    }
}
