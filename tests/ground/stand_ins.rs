//! The stand-ins for the closed servers, on a real database and a real registry.

use anyhow::{Result, bail};
use serde_json::json;

use crate::harness::{Ground, eventually, seconds};

const CONTROL: u16 = 8899;
/// As the operations guide asks a drmdata for its health: the body decides.
const CHECK_SERVICE: [&str; 4] = ["curl", "-s", "-m2", "localhost:9500/checkService"];

/// Where a MariaDB and SessionServers are: drmdata becomes healthy, a push reaches every connection, and a failure that
/// is switched on shows in the body of its health.
pub(crate) async fn need_database_and_registry(ground: &Ground) -> Result<()> {
    ground.apply(include_str!("manifests/stand-ins.yaml")).await?;
    for set in ["drmdata", "dsrconsole", "drmclient"] {
        ground.ready(set, seconds(60)).await?;
    }
    eventually("the client holds ten connections", seconds(30), async || {
        let status = ground.get("drmclient-0", 8080, "/status").await?.json();
        if status["open"] == 10 { Ok(()) } else { bail!("{status}") }
    })
    .await?;
    let push = json!({"dataId": "app.switch", "value": "on"});
    eventually("the console takes a push", seconds(20), async || {
        match ground.post_json("dsrconsole-0", 80, "/push", &push).await? {
            reply if reply.status == 200 => Ok(()),
            reply => bail!("{reply:?}"),
        }
    })
    .await?;
    eventually("the pushed value reaches the client", seconds(20), async || {
        let status = ground.get("drmclient-0", 8080, "/status").await?.json();
        if status["values"].to_string().contains("app.switch") { Ok(()) } else { bail!("{status}") }
    })
    .await?;

    let fault = json!({"fault": "data-master-missing", "on": true});
    ground.post_json("drmdata-0", CONTROL, "/fault", &fault).await?;
    eventually("drmdata-0 says what it misses", seconds(20), async || {
        let body = ground.exec("drmdata-0", &CHECK_SERVICE).await?;
        if body.contains("TaskManageFacade:false Addresses unavailable") { Ok(()) } else { bail!("{body}") }
    })
    .await
}
