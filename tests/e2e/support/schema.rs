//! Check of a value against the JSON schema of failures, as far as that schema needs: a keyword
//! that is not known here fails.

use serde_json::Value;

/// Panics when a failure is not as `docs/guide/src/error.schema.json` describes it.
pub fn check_failure(failure: &Value) {
    let schema: Value =
        serde_json::from_str(include_str!("../../../docs/guide/src/error.schema.json")).unwrap();
    if let Err(reason) = check(failure, &schema, &schema) {
        panic!("{reason}: {failure}");
    }
}

fn check(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().unwrap() {
        let holds = match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" | "then" => true,
            "type" => one_or_more(rule).any(|name| is_of(value, name)),
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "required" => {
                let mut names = rule.as_array().unwrap().iter();
                names.all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(value, rule, root).map_err(|reason| format!("{name}: {reason}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object().unwrap();
                let mut names = value.as_object().into_iter().flatten();
                names.all(|(name, _value)| known.contains_key(name))
            }
            "items" => {
                let mut items = value.as_array().into_iter().flatten();
                items.try_for_each(|item| check(item, rule, root))?;
                true
            }
            "anyOf" => {
                let mut rules = rule.as_array().unwrap().iter();
                rules.any(|rule| check(value, rule, root).is_ok())
            }
            "allOf" => {
                let mut rules = rule.as_array().unwrap().iter();
                rules.try_for_each(|rule| check(value, rule, root))?;
                true
            }
            "if" => {
                if check(value, rule, root).is_ok() {
                    check(value, &schema["then"], root)?;
                }
                true
            }
            "$ref" => {
                let place = rule.as_str().unwrap().trim_start_matches('#');
                check(value, root.pointer(place).unwrap(), root)?;
                true
            }
            other => panic!("keyword {other} is not known"),
        };
        if !holds {
            return Err(format!("{keyword} {rule} does not hold"));
        }
    }
    Ok(())
}

fn one_or_more(rule: &Value) -> impl Iterator<Item = &str> {
    let several = rule.as_array().into_iter().flatten();
    rule.as_str()
        .into_iter()
        .chain(several.filter_map(Value::as_str))
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "array" => value.is_array(),
        "integer" => value.is_u64(),
        "null" => value.is_null(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("type {other} is not known"),
    }
}
