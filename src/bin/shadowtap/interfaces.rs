//! `shadowtap interfaces`: what can be captured from here, tried by opening it, and what is missing where it cannot.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use shadowtap::capture::interfaces::{self, ANY, Interface, InterfaceState};
use shadowtap::capture::live::{self, LiveError, setcap};

use crate::args::InterfacesCommand;
use crate::output::{print, print_json};
use crate::terminal;

/// Columns between two columns, and before what stands below something.
const GAP: usize = 2;

/// ANSI: faint, green, yellow.
const FAINT: &str = "2";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// Runs the command.
pub(crate) fn run(args: &InterfacesCommand) -> anyhow::Result<ExitCode> {
    let all = interfaces::list()?.into_iter().map(Some).chain([None]).map(InterfaceRow::new);
    let written = if args.json {
        let lines: Result<Vec<String>, _> =
            all.map(|row| serde_json::to_string(&row).map(|line| line + "\n")).collect();
        print_json(&lines.context("cannot write JSON")?.concat())
    } else {
        let width = terminal::or_default(terminal::width_of_stdout());
        print(&InterfaceTable { rows: &all.collect::<Vec<_>>(), width, color: terminal::color_on_stdout() }.to_text())
    };
    written.context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// An interface, or the device for all of them at once.
#[derive(Debug, Serialize)]
struct InterfaceRow {
    name: String,
    /// `None` of the device for all.
    state: Option<&'static str>,
    addresses: Vec<String>,
    loopback: bool,
    part_of: Option<String>,
    carried_by: Option<String>,
    link_type: Option<&'static str>,
    /// True when the interface could be opened.
    capture: bool,
    /// Reason for the failure, with a remedy.
    missing: Option<String>,
    #[serde(skip)]
    error: Option<LiveError>,
}

impl InterfaceRow {
    fn new(interface: Option<Interface>) -> Self {
        let name = interface.as_ref().map_or(ANY, |interface| &interface.name);
        let tried = live::probe(name);
        Self::tried(interface, tried.map(interfaces::link_name))
    }

    /// Builds the row of an interface from the result of opening it.
    fn tried(interface: Option<Interface>, tried: Result<&'static str, LiveError>) -> Self {
        let state = interface.as_ref().map(|interface| interface.state.name());
        let interface = interface.unwrap_or_else(|| Interface { name: ANY.to_owned(), ..Interface::default() });
        let link_type = tried.as_ref().ok().copied();
        let error = tried.err();
        Self {
            name: interface.name,
            state,
            addresses: interface.addresses.iter().map(ToString::to_string).collect(),
            loopback: interface.loopback,
            part_of: interface.part_of,
            carried_by: interface.carried_by,
            link_type,
            capture: error.is_none(),
            missing: error.as_ref().map(ToString::to_string),
            error,
        }
    }

    fn is_down(&self) -> bool {
        self.state == Some(InterfaceState::Down.name())
    }

    /// Returns the addresses, or the text in their place.
    fn words(&self) -> Vec<String> {
        match (&self.part_of, &self.carried_by) {
            _ if self.state.is_none() => vec!["all of them at once".to_owned()],
            (Some(whole), _) if self.addresses.is_empty() => vec![format!("part of {whole}")],
            (_, Some(carrier)) if self.addresses.is_empty() => vec![format!("carried by {carrier}")],
            _ => self.addresses.clone(),
        }
    }
}

/// All interfaces, for people.
struct InterfaceTable<'a> {
    rows: &'a [InterfaceRow],
    width: usize,
    color: bool,
}

impl InterfaceTable<'_> {
    fn to_text(&self) -> String {
        let mut out = String::new();
        let names = self.rows.iter().map(|row| row.name.chars().count());
        let name = names.max().unwrap_or(0).max("interface".len());
        let head = format!("{:<name$}  {:<10}  {:<12}  capture", "interface", "state", "link");
        let room = self.width.saturating_sub(head.len() + GAP);
        // An address that does not fit beside the other columns has them all stand below.
        let longest = self.rows.iter().flat_map(InterfaceRow::words).map(|word| word.chars().count() + 1).max();
        let beside = longest.is_none_or(|longest| longest <= room);
        let more = if beside { "  addresses" } else { "" };
        writeln!(out, "{}", self.paint(&format!("{head}{more}"), FAINT)).ok();
        for row in self.rows {
            let before = self.columns(row, name);
            if beside {
                let lines = filled(&row.words(), ", ", room);
                let first = lines.first().map_or("", String::as_str);
                writeln!(out, "{}", format!("{before}{first}").trim_end()).ok();
                lines_below(&mut out, lines.get(1..).unwrap_or_default(), head.len() + GAP);
            } else {
                writeln!(out, "{}", before.trim_end()).ok();
                lines_below(&mut out, &filled(&row.words(), ", ", self.width - GAP), GAP);
            }
        }
        self.help(&mut out);
        out
    }

    /// The columns before the addresses.
    fn columns(&self, row: &InterfaceRow, name: usize) -> String {
        let state = row.state.map_or_else(|| "-".to_owned(), |state| state.replace('_', " "));
        let (capture, color) = if row.capture { ("yes", GREEN) } else { ("no", YELLOW) };
        let kind = row.link_type.unwrap_or("-");
        let gap = " ".repeat("capture".len() + GAP - capture.len());
        format!("{:<name$}  {state:<10}  {kind:<12}  {}{gap}", row.name, self.paint(capture, color))
    }

    /// Appends each missing condition once, with the command that helps.
    fn help(&self, out: &mut String) {
        let permitted = !self.rows.iter().any(|row| matches!(row.error, Some(LiveError::NotPermitted { .. })));
        let down: Vec<&str> = self.rows.iter().filter(|row| row.is_down()).map(|row| row.name.as_str()).collect();
        if !permitted {
            out.push_str("\nNot permitted as this user: run with sudo, or give the program the right once:\n");
            writeln!(out, "  {}", setcap()).ok();
        }
        if let Some(first) = down.first() {
            let more = if down.len() > 1 { format!(" (and {} more)", down.len() - 1) } else { String::new() };
            writeln!(out, "\nDown: {first}{more}. To bring it up:\n  sudo ip link set {first} up").ok();
        }
        for row in self.rows {
            if let Some(error) = &row.error
                && !matches!(error, LiveError::NotPermitted { .. } | LiveError::Down { .. })
            {
                out.push('\n');
                let words: Vec<String> = error.to_string().split(' ').map(str::to_owned).collect();
                lines_below(out, &filled(&words, " ", self.width), 0);
            }
        }
    }

    fn paint(&self, text: &str, color: &str) -> String {
        if self.color { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn lines_below(out: &mut String, lines: &[String], indent: usize) {
    for line in lines {
        writeln!(out, "{:indent$}{line}", "").ok();
    }
}

/// Words in lines of at most `width` columns, as far as each fits.
fn filled(words: &[String], between: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (place, word) in words.iter().enumerate() {
        // What follows a word stays with it, but for a space at the end of a line.
        let word = if place + 1 < words.len() { format!("{word}{between}") } else { word.clone() };
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.trim_end().chars().count() <= width => line.push_str(&word),
            _ => lines.push(word),
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, state: InterfaceState, addresses: &[&str]) -> Interface {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Interface { name: name.to_owned(), addresses, state, ..Interface::default() }
    }

    #[expect(clippy::unnecessary_wraps, reason = "`None` is the device for all")]
    fn some(name: &str, state: InterfaceState, addresses: &[&str]) -> Option<Interface> {
        Some(interface(name, state, addresses))
    }

    fn table(rows: &[InterfaceRow], width: usize) -> String {
        // A path is as long as it is, and a command is copied whole.
        let text = InterfaceTable { rows, width, color: false }.to_text().replace(&setcap(), "SETCAP");
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width, "{widest} columns:\n{text}");
        text
    }

    #[test]
    fn interfaces_fit_80_columns_with_their_addresses() {
        let down = LiveError::Down { interface: "ifb0".to_owned() };
        let part = Interface { part_of: Some("docker0".to_owned()), ..interface("veth7c1a", InterfaceState::Up, &[]) };
        let full = "2001:db8:1234:5678:9abc:def0:1234:5678";
        let rows = [
            InterfaceRow::tried(some("lo", InterfaceState::Up, &["127.0.0.1", "::1"]), Ok("Ethernet")),
            InterfaceRow::tried(some("eth0", InterfaceState::Up, &["192.0.2.2", full, "fe80::1"]), Ok("Ethernet")),
            InterfaceRow::tried(Some(part), Ok("Ethernet")),
            InterfaceRow::tried(some("eth1", InterfaceState::NoCarrier, &[]), Ok("Ethernet")),
            InterfaceRow::tried(some("ifb0", InterfaceState::Down, &[]), Err(down)),
            InterfaceRow::tried(None, Ok("Linux cooked")),
        ];
        insta::assert_snapshot!(table(&rows, 80), @r#"
        interface  state       link          capture
        lo         up          Ethernet      yes
          127.0.0.1, ::1
        eth0       up          Ethernet      yes
          192.0.2.2, 2001:db8:1234:5678:9abc:def0:1234:5678, fe80::1
        veth7c1a   up          Ethernet      yes
          part of docker0
        eth1       no carrier  Ethernet      yes
        ifb0       down        -             no
        any        -           Linux cooked  yes
          all of them at once

        Down: ifb0. To bring it up:
          sudo ip link set ifb0 up
        "#);
        insta::assert_snapshot!(table(&rows, 100), @r#"
        interface  state       link          capture  addresses
        lo         up          Ethernet      yes      127.0.0.1, ::1
        eth0       up          Ethernet      yes      192.0.2.2, 2001:db8:1234:5678:9abc:def0:1234:5678,
                                                      fe80::1
        veth7c1a   up          Ethernet      yes      part of docker0
        eth1       no carrier  Ethernet      yes
        ifb0       down        -             no
        any        -           Linux cooked  yes      all of them at once

        Down: ifb0. To bring it up:
          sudo ip link set ifb0 up
        "#);
    }

    #[test]
    fn a_missing_right_is_told_once_with_the_command_that_gives_it() {
        let refused = |name: &str| Err(LiveError::NotPermitted { interface: name.to_owned() });
        let rows = [
            InterfaceRow::tried(some("lo", InterfaceState::Up, &["127.0.0.1"]), refused("lo")),
            InterfaceRow::tried(some("eth0", InterfaceState::Up, &[]), refused("eth0")),
            InterfaceRow::tried(None, refused("any")),
        ];
        insta::assert_snapshot!(table(&rows, 80), @r#"
        interface  state       link          capture  addresses
        lo         up          -             no       127.0.0.1
        eth0       up          -             no
        any        -           -             no       all of them at once

        Not permitted as this user: run with sudo, or give the program the right once:
          SETCAP
        "#);
    }

    #[test]
    fn a_line_of_json_has_what_scripts_ask_for() {
        let refused = LiveError::NotPermitted { interface: "eth0".to_owned() };
        let row = InterfaceRow::tried(some("eth0", InterfaceState::Up, &["192.0.2.2"]), Err(refused));
        let text = serde_json::to_string_pretty(&row).unwrap().replace(&setcap(), "SETCAP");
        insta::assert_snapshot!(text, @r#"
        {
          "name": "eth0",
          "state": "up",
          "addresses": [
            "192.0.2.2"
          ],
          "loopback": false,
          "part_of": null,
          "carried_by": null,
          "link_type": null,
          "capture": false,
          "missing": "cannot open eth0: operation not permitted; run with sudo, or: SETCAP"
        }
        "#);
    }
}
