//! Values that no target issues: pairs from a file, and tokens signed here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::carry::jwt::{JwtAlgorithm, JwtKey};
use super::super::carry::{JwtMint, Seeds, ValueMaker};
use super::super::secret::{SecretLocation, SecretLookup};
use super::reader::{Located, TomlEntry, TomlReader, TomlTable};
use super::words::{json, time};
use crate::bounded;
use crate::causes::causes;

/// Largest file of pairs, in bytes.
const MAX_SEED_BYTES: usize = 256 << 20;
/// Keys of `jwt`.
const JWT_KEYS: [&str; 8] = ["alg", "keep", "exp", "set", "kid", "key", "key-env", "key-file"];

/// `seed = "tokens.csv"`.
pub(super) fn seeds(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Arc<Seeds>> {
    let path = reader.folder().join(reader.text(value)?);
    let environment = &reader.environment;
    let is_needed = environment.needs_seeds || environment.secrets != SecretLookup::Placeholders;
    let text =
        if is_needed || path.exists() { reader.keep(value.span(), read(&path))? } else { "old,new\na,b\n".to_owned() };
    match Seeds::read(&text, &reader.environment.targets) {
        Ok(seeds) => Some(Arc::new(seeds)),
        Err(mistakes) => {
            for (line, message) in mistakes {
                reader.wrong_in(&path, line, message);
            }
            None
        }
    }
}

/// The text of a file that nobody else may read.
fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let file = bounded::open(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    of_few(&file, path, "sessions")?;
    let bytes = bounded::rest(file, "a file of pairs", MAX_SEED_BYTES);
    let bytes = bytes.map_err(|error| format!("cannot read {shown}: {}", causes(&error)))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is no text in UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// An error where every user of this machine may get at a file that holds such secrets.
fn of_few(file: &File, path: &Path, what: &str) -> Result<(), String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let shown = path.display();
        let mode = file.metadata().map_err(|error| format!("cannot read {shown}: {error}"))?.permissions().mode();
        if mode & 0o007 != 0 {
            let quoted = shell_words::quote(&shown.to_string()).into_owned();
            return Err(format!(
                "every user of this machine may get at {shown}, which has {what} in it; run: chmod o= {quoted}"
            ));
        }
    }
    Ok(())
}

/// `{ jwt = { key-env = "STAGING_KEY", alg = "HS256", keep = ["sub"], exp = "+1h", set = { iss = "staging" } } }`.
pub(super) fn mint(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<ValueMaker> {
    let mut table = reader.table(value)?;
    let jwt = table.take("jwt");
    table.finish(reader, "in mint", &["jwt"]);
    let Some(jwt) = jwt else {
        reader
            .wrong(value.span(), "say what is made, such as { jwt = { key-env = \"STAGING_KEY\", alg = \"HS256\" } }");
        return None;
    };
    let mut table = reader.table(jwt)?;
    let [alg, keep, exp, set, kid] = ["alg", "keep", "exp", "set", "kid"].map(|key| table.take(key));
    let algorithm = algorithm(alg, jwt, reader);
    let key = key(&mut table, algorithm, jwt, reader);
    table.finish(reader, "in jwt", &JWT_KEYS);
    let keep = keep.map(|keep| reader.each(keep, |name| Ok::<_, String>(name.to_owned())));
    let set = set.map(|set| claims(set, reader)).unwrap_or_default();
    let lasts = match exp {
        Some(exp) => {
            let text = reader.text(exp)?;
            let message = || format!("`{text}` is not how long a token is good for; write +1h");
            let span = text.strip_prefix('+').and_then(|text| time(text).ok());
            Some(reader.keep(exp.span(), span.ok_or_else(message))?)
        }
        None => None,
    };
    let kid = kid.and_then(|kid| reader.text(kid)).map(str::to_owned);
    Some(ValueMaker::Jwt(JwtMint { algorithm: algorithm?, key: key?, keep, set, lasts, kid }))
}

fn algorithm(value: Option<&Located<'_>>, jwt: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<JwtAlgorithm> {
    let known = JwtAlgorithm::ALL.map(|(name, _)| name).join(", ");
    let Some(value) = value else {
        reader.wrong(jwt.span(), format!("say how the token is signed: alg = one of {known}"));
        return None;
    };
    let text = reader.text(value)?;
    let found = JwtAlgorithm::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, found)| found);
    reader.keep(
        value.span(),
        found.ok_or_else(|| format!("`{text}` is not how a token is signed here; write one of {known}")),
    )
}

/// The key under `key-env`, `key-file`, or `key`, which says which of these it is.
fn key(
    table: &mut TomlTable<'_>,
    algorithm: Option<JwtAlgorithm>,
    jwt: &Located<'_>,
    reader: &mut TomlReader<'_>,
) -> Option<JwtKey> {
    let places = ["key", "key-env", "key-file"].map(|key| table.take(key));
    let mut named = places.into_iter().zip(0..).filter_map(|(value, place)| Some((value?, place)));
    let Some((value, place)) = named.next() else {
        reader.wrong(jwt.span(), "say where the key is: key-env = \"VARIABLE\" or key-file = \"FILE\"");
        return None;
    };
    if let Some((other, _)) = named.next() {
        reader.wrong(other.span(), "key, key-env and key-file contradict each other");
        return None;
    }
    let text = reader.text(value)?;
    let (variable, file) = match place {
        0 => (text.strip_prefix("env:"), text.strip_prefix("file:")),
        1 => (Some(text), None),
        _ => (None, Some(text)),
    };
    let place = match (variable, file) {
        (Some(variable), _) => SecretLocation::Variable(variable.to_owned()),
        (_, Some(file)) => SecretLocation::File(PathBuf::from(file)),
        (None, None) => {
            let message = "a key does not stand in a chain file: name a variable, key = \"env:VARIABLE\", or a file, \
                           key = \"file:PATH\"";
            reader.wrong(value.span(), message);
            return None;
        }
    };
    if let (SecretLocation::File(path), SecretLookup::Real) = (&place, reader.environment.secrets) {
        let path = reader.folder().join(path);
        // One that is not there is told by whoever reads it.
        let checked = File::open(&path).map_or(Ok(()), |file| of_few(&file, &path, "a key"));
        reader.keep(value.span(), checked)?;
    }
    let secrets = reader.environment.secrets;
    let read = secrets.read_lines(&place, reader.folder());
    let secret = reader.keep(value.span(), read.map_err(|error| causes(&error)))?;
    match algorithm? {
        algorithm if secrets == SecretLookup::Real || algorithm == JwtAlgorithm::Hs256 => {
            reader.keep(value.span(), JwtKey::new(algorithm, secret.reveal()))
        }
        _ => Some(JwtKey::Absent),
    }
}

/// Claims by name.
fn claims(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Vec<(String, serde_json::Value)> {
    let mut claims = Vec::new();
    for TomlEntry { key, value, .. } in reader.entries(value) {
        let claim =
            json(value.get_ref()).ok_or("dates and numbers without an end have no place in JSON: put them in quotes");
        claims.extend(reader.keep(value.span(), claim).map(|claim| (key.to_owned(), claim)));
    }
    claims
}
