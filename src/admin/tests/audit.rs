//! Every change asked for leaves a line, and nothing else does.

use super::*;

#[tokio::test]
async fn changes_leave_a_line_each_refused_ones_too() {
    let admin = Admin::remote().await;
    let port = r#"{"port": 8080}"#;
    admin.put_as("orders", INSTANCE, port).await;
    admin.put_as("orders", INSTANCE, port).await;
    admin.put_as("orders", "/api/v1/services/payments/instances/a", port).await;
    admin.put_as("wrong", INSTANCE, port).await;
    admin.put_as("orders", INSTANCE, r#"{"nonsense": 1}"#).await;
    admin.ask_as("orders", "POST", &format!("{INSTANCE}/heartbeat")).await;
    admin.ask_as("read", "GET", INSTANCE).await;
    admin.ask_as("orders", "POST", &format!("{INSTANCE}/drain")).await;
    admin.ask_as("orders", "DELETE", INSTANCE).await;
    admin.ask_as("orders", "POST", "/api/v1/config/reload").await;
    admin.ask_as("admin", "POST", "/api/v1/config/reload").await;
    let lines = admin.audited();
    let short: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
            (text("who"), text("what"), text("target"), line["status"].as_u64(), text("problem"))
        })
        .collect();
    let expected = [
        ("orders", "register", "orders/a", 201, ""),
        ("orders", "register", "orders/a", 200, ""),
        ("orders", "register", "payments/a", 403, "forbidden"),
        ("unknown", "register", "orders/a", 401, "unauthorized"),
        ("orders", "register", "orders/a", 422, "invalid"),
        ("orders", "drain", "orders/a", 200, ""),
        ("orders", "deregister", "orders/a", 200, ""),
        ("orders", "reload", "proxy.toml", 403, "forbidden"),
        ("admin", "reload", "proxy.toml", 200, ""),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(who, what, target, status, problem)| {
            let text = |word: &str| word.to_owned();
            (text(who), text(what), text(target), Some(*status), text(problem))
        })
        .collect();
    assert_eq!(short, expected);
    assert_eq!(lines[0]["from"], "10.0.0.7:5000");
    assert!(lines[0].get("before").is_none());
    assert_eq!((&lines[0]["after"], &lines[1]["before"]), (&1.into(), &1.into()));
    assert_eq!((&lines[6]["before"], lines[6].get("after")), (&1.into(), None));
    let text = serde_json::to_string(&lines).expect("JSON");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_flood_of_bad_tokens_does_not_fill_the_disk() {
    let admin = Admin::remote().await;
    for _ in 0..50 {
        admin.put_as("wrong", INSTANCE, "{}").await;
    }
    assert_eq!(admin.audited().len(), 10);
}

#[tokio::test]
async fn a_change_without_a_token_is_told_from_others() {
    let admin = Admin::local().await;
    admin.put(INSTANCE, r#"{"port": 8080}"#).await;
    let foreign = request("DELETE", INSTANCE).header("origin", "http://evil.example");
    admin.send(foreign.body(Body::empty()).expect("a request")).await;
    admin.ask("DELETE", "/api/v1/services/orders/instances/host%3A80%0A").await;
    let lines = admin.audited();
    assert_eq!(lines[2]["target"], "orders/host:80\n");
    assert_eq!((&lines[0]["who"], &lines[0]["status"]), (&"loopback".into(), &201.into()));
    assert_eq!(lines[1]["problem"], "cross_origin");
}

/// The line is there while the caller waits, though it hangs up, and once.
#[tokio::test]
async fn a_change_that_is_waited_for_is_written_when_it_is_made() {
    let admin = Admin::local().await;
    let body = r#"{"port": 8080, "health": {"kind": "ttl"}}"#;
    let lines =
        |admin: &Admin| std::fs::read_to_string(&admin.audit).expect("a log").lines().count();
    let path = format!("{INSTANCE}?wait=routable&timeout=60s");
    {
        let waiting = admin.put(&path, body);
        let written = async {
            while lines(&admin) == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            answer = waiting => panic!("nothing makes it routable: {}", answer.body),
            () = written => {}
        }
    }
    assert_eq!(admin.ask("POST", &format!("{INSTANCE}/heartbeat")).await.status, 200);
    let short = format!("{INSTANCE}/drain?wait=drained&timeout=1s");
    assert_eq!(admin.ask("POST", &short).await.status, 200);
    assert_eq!(admin.put(&path.replace("60s", "10ms"), body).await.status, 202);
    let lines = admin.audited();
    let written: Vec<_> = lines.iter().map(|line| (&line["what"], &line["status"])).collect();
    // Registered anew, by a new process: created or not is what the id is.
    assert_eq!(
        written,
        [
            (&"register".into(), &201.into()),
            (&"drain".into(), &200.into()),
            (&"register".into(), &200.into()),
        ]
    );
    assert_eq!((&lines[0]["after"], &lines[2]["after"]), (&1.into(), &2.into()));
}
