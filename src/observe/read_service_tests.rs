//! What is made of a server's answers.

use std::collections::BTreeMap;

use super::*;

const AT: Moment = Moment::from_millis(7_000);
const SOCKETS: &str = concat!(
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n",
    "   0: 00000000:2698 00000000:0000 0A 00000000:00000000 00:00000000 00000000 10001        0 1 1\n",
    "   1: 0500000A:2698 0A00000A:C350 01 00000000:00000000 00:00000000 00000000 10001        0 2 1\n",
);

fn sockets<'a>(text: &'a str, ports: &'a [u16]) -> Sockets<'a> {
    Sockets { text, clients: 9880, ports }
}

fn known(failing: Option<Reason>, connections: Option<u64>) -> Fact<ServerView> {
    Fact::known(ServerView { failing, connections }, AT)
}

#[test]
fn a_drmdata_works_fails_or_is_unknown() {
    let open = sockets(SOCKETS, &[9880]);
    assert_eq!(drmdata_view(Ok("passed:true"), Some(&open), AT), known(None, Some(1)));
    assert_eq!(drmdata_view(Ok("passed:true"), None, AT), known(None, None));
    let master = Ok("TaskManageFacade:false Addresses unavailable");
    assert_eq!(drmdata_view(master, None, AT), known(Some(Reason::DataMasterMissing), None));
    let source = Ok("database:false gone");
    assert_eq!(drmdata_view(source, Some(&open), AT), known(Some(Reason::DataSourceNotConnected), Some(1)));
    let closed = sockets(SOCKETS, &[9880, 9870]);
    assert_eq!(
        drmdata_view(Ok("passed:true"), Some(&closed), AT),
        known(Some(Reason::MemberBroken), Some(1)),
        "a port is down"
    );
    let half = sockets("half a ta", &[9880]);
    assert_eq!(drmdata_view(Ok("passed:true"), Some(&half), AT), known(None, None), "not counted");
    for (told, why) in [
        (Ok(""), Unknown::Unreadable),
        (Ok("Internal Server Error"), Unknown::Unreadable),
        (Err(Unknown::TimedOut), Unknown::TimedOut),
        (Err(Unknown::Refused), Unknown::Refused),
    ] {
        assert_eq!(drmdata_view(told, Some(&open), AT), Fact::unknown(why, AT), "{told:?}");
    }
}

#[test]
fn a_console_answers() {
    for (answer, failing) in [
        (None, None),
        (Some(200), None),
        (Some(302), None),
        (Some(404), Some(Reason::MemberBroken)),
        (Some(503), Some(Reason::MemberBroken)),
    ] {
        assert_eq!(port_view(Ok(answer), None, AT), known(failing, None), "{answer:?}");
    }
    assert_eq!(port_view(Err(Unknown::Refused), None, AT), Fact::unknown(Unknown::Refused, AT));
    let open = sockets(SOCKETS, &[9880]);
    assert_eq!(port_view(Ok(None), Some(&open), AT), known(None, Some(1)), "AntScheduler's clients count");
}

#[test]
fn a_powerjob_works_on_its_database_and_its_version() {
    let hello = |version: &str| Hello {
        address: "pj-0:10010".to_owned(),
        born: Moment::default(),
        version: version.to_owned(),
        server_time: None,
        apps: BTreeMap::new(),
    };
    let wanted: Version = "4.3.9".parse().unwrap();
    let view = |health, version: &str, wanted: Option<&Version>| {
        powerjob_view(health, Ok(&hello(version)), wanted, AT)
    };
    assert_eq!(view(Ok(true), "4.3.9", Some(&wanted)), known(None, None));
    assert_eq!(view(Ok(true), "4.3.8", Some(&wanted)), known(Some(Reason::VersionMismatch), None));
    assert_eq!(view(Ok(true), "4.3.8", None), known(None, None), "it is not changed yet");
    for silent in ["UNKNOWN", ""] {
        assert_eq!(view(Ok(true), silent, Some(&wanted)), known(None, None));
    }
    let database = known(Some(Reason::WaitingForDatabase), None);
    assert_eq!(view(Ok(false), "4.3.9", Some(&wanted)), database);
    assert_eq!(view(Err(Unknown::TimedOut), "4.3.9", Some(&wanted)), database);
    let unknown = |why| Fact::unknown(why, AT);
    assert_eq!(view(Err(Unknown::Unreadable), "4.3.9", None), unknown(Unknown::Unreadable));
    assert_eq!(powerjob_view(Ok(true), Err(Unknown::Refused), None, AT), unknown(Unknown::Refused));
}
