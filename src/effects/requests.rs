//! The admin requests of a command: which server is told what (measured: sofaregistry §4–§7).

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::admin::registry::v6::CELL;
use crate::admin::transport::Method;
use crate::observe::Addresses;
use crate::plan::Command;
use crate::types::DnsLabel;

/// `changePeer` sleeps for 3 s before it answers (measured: sofaregistry §5).
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// **Closes** push: the switch is "stop pushing".
const CLOSE_PUSH: &str = "/stopPushDataSwitch/open";
/// **Opens** push.
const OPEN_PUSH: &str = "/stopPushDataSwitch/close";

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// One of our own metas.
    Meta(Ipv4Addr),
    /// A meta of another site.
    Site(DnsLabel),
}

/// One command to an admin port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AdminRequest {
    /// Who is told.
    pub to: Recipient,
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// The form.
    pub form: Vec<(&'static str, String)>,
    /// How long the answer is waited for.
    pub limit: Duration,
}

/// The requests of a command, in their order. Empty: it is none of the admin ports'.
#[must_use]
pub fn requests(command: &Command) -> Vec<AdminRequest> {
    match command {
        Command::ClosePush { via, sites } => switch(CLOSE_PUSH, *via, sites.iter()),
        Command::OpenPush { via, sites } => switch(OPEN_PUSH, *via, sites.iter()),
        Command::ChangePeer { via, peers } => {
            vec![form(*via, Method::Post, "/manage/changePeer", vec![("ipAddressList", list(peers))])]
        }
        Command::ResetPeer { survivor } => {
            let form_data = vec![("ipAddressList", survivor.to_string())];
            vec![form(*survivor, Method::Post, "/manage/resetPeer", form_data)]
        }
        Command::DisableRenew { via } => {
            vec![form(*via, Method::Get, "/renewSwitch/disable", Vec::new())]
        }
        Command::ClearBlacklist { via, addresses } => addresses
            .iter()
            .map(|address| {
                // Without the form the server fails, and of another cell it takes nobody off.
                let fields = vec![("cell", CELL.to_owned()), ("nodeType", "data".to_owned())];
                form(*via, Method::Put, &format!("/opsapi/v1/server/group/join/{address}"), fields)
            })
            .collect(),
        Command::ReleasePods { .. }
        | Command::StopPods { .. }
        | Command::Scale { .. }
        | Command::PreRegister { .. }
        | Command::MoveApps { .. }
        | Command::RetryLost { .. } => Vec::new(),
    }
}

fn switch<'a>(path: &str, via: Ipv4Addr, sites: impl Iterator<Item = &'a DnsLabel>) -> Vec<AdminRequest> {
    let ours = form(via, Method::Get, path, Vec::new());
    let theirs = sites.map(|site| AdminRequest { to: Recipient::Site(site.clone()), ..ours.clone() });
    let theirs: Vec<_> = theirs.collect();
    std::iter::once(ours).chain(theirs).collect()
}

fn form(to: Ipv4Addr, method: Method, path: &str, form: Vec<(&'static str, String)>) -> AdminRequest {
    AdminRequest { to: Recipient::Meta(to), method, path: path.to_owned(), form, limit: COMMAND_LIMIT }
}

fn list(addresses: &Addresses) -> String {
    addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polarity_of_the_switch_is_the_servers() {
        let (via, site) = (Ipv4Addr::LOCALHOST, "west".parse::<DnsLabel>().unwrap());
        let close = requests(&Command::ClosePush { via, sites: [site.clone()].into() });
        let told: Vec<_> = close.iter().map(|r| (r.to.clone(), r.path.as_str())).collect();
        assert_eq!(
            told,
            [
                (Recipient::Meta(via), "/stopPushDataSwitch/open"),
                (Recipient::Site(site), "/stopPushDataSwitch/open")
            ]
        );
        let open = requests(&Command::OpenPush { via, sites: std::collections::BTreeSet::new() });
        assert_eq!(open.iter().map(|r| r.path.as_str()).collect::<Vec<_>>(), ["/stopPushDataSwitch/close"]);
    }

    #[test]
    fn peers_are_one_list() {
        let peers = [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1)].into();
        let told = requests(&Command::ChangePeer { via: Ipv4Addr::LOCALHOST, peers });
        assert_eq!(told[0].form, [("ipAddressList", "10.0.0.1,10.0.0.2".to_owned())]);
        assert!(told[0].limit >= Duration::from_secs(10), "the call takes 3.3 s");
    }
}
