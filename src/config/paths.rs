//! Detects values that only a shell would expand: quotes, `~` and variables in environment files and TOML.

use std::path::Path;

use super::Problem;

const QUOTES: [char; 2] = ['"', '\''];

/// Returns what is wrong with a value that begins or ends with a quote.
pub(super) fn quotes(value: &str) -> Option<&'static str> {
    let value = value.trim();
    (value.starts_with(QUOTES) || value.ends_with(QUOTES)).then_some(
        "is in quotes, which would be a part of the value: only a shell takes them away, environment files keep them; \
         leave them out",
    )
}

/// Returns what is wrong with a path that only a shell would expand.
pub(super) fn fault(path: &str) -> Option<String> {
    if let Some(fault) = quotes(path) {
        return Some(fault.to_owned());
    }
    if path.trim() != path {
        return Some("begins or ends with white space: leave it out".to_owned());
    }
    if path.starts_with('~') {
        let own = path.trim_start_matches('~').trim_start_matches('/');
        return Some(format!(
            "begins with ~, which only a shell replaces by the home directory: write the whole path, such as \
             /home/you/{own} (./~ is a folder of that name)"
        ));
    }
    let is_variable = path.starts_with('$') || path.contains("${") || path.starts_with('%') && path[1..].contains('%');
    is_variable.then(|| {
        "holds a variable, which only a shell replaces: write the whole path (./$ is a folder of that name)".to_owned()
    })
}

/// Refuses a path that only a shell would expand.
pub(super) fn check(key: &str, path: &Path) -> Result<(), Problem> {
    match path.to_str().and_then(fault) {
        Some(reason) => Err(Problem::new(key, reason)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_accepted() {
        for path in ["/data", "./data", "../x y/z", "C:\\data", "./~", "./$x", "a~b", "it's/here", "data$", "100%"] {
            assert_eq!(fault(path), None, "{path}");
        }
    }

    #[test]
    fn shell_syntax_is_refused() {
        for (path, word) in [
            ("~", "begins with ~"),
            ("~/orion", "/home/you/orion"),
            ("~user/orion", "begins with ~"),
            ("\"/data\"", "quotes"),
            ("'/data'", "quotes"),
            ("\"/data", "quotes"),
            ("\"~/orion\"", "quotes"),
            ("$HOME/orion", "variable"),
            ("${HOME}/orion", "variable"),
            ("/srv/${NAME}/data", "variable"),
            ("%USERPROFILE%\\orion", "variable"),
            ("/data ", "white space"),
            ("/data\r", "white space"),
        ] {
            assert!(fault(path).is_some_and(|reason| reason.contains(word)), "{path}: {:?}", fault(path));
        }
    }
}
