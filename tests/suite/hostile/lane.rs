//! One lane: takes cases one after the other, and keeps a good object of each base for those that edit one.

use std::{collections::BTreeMap, sync::Arc};

use http::Request;
use kube::Error;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    BOUND, Campaign, Place,
    bases::{Base, intent, plain},
    cases::{Case, How},
    judge::{Standing, refusal, short, standing, words},
};
use crate::rig::within;

/// One lane.
pub struct Lane {
    campaign: Arc<Campaign>,
    number: usize,
    made: usize,
    operations: usize,
    /// Good objects, by base: the name, and what the backend held when it first was Ready.
    good: BTreeMap<String, (String, Value)>,
}

impl Lane {
    /// A lane in one of the namespaces.
    pub fn new(campaign: Arc<Campaign>, number: usize) -> Self {
        Self { campaign, number, made: 0, operations: 0, good: BTreeMap::new() }
    }

    /// Works until no case is left; how many operations that was.
    pub async fn run(mut self) -> usize {
        let campaign = self.campaign.clone();
        while let Some(case) = campaign.next() {
            let base = campaign.space.base(&case.base);
            let specs = campaign.space.specs(&case);
            let done = match case.how {
                How::Create => self.create(base, &case, &specs[0]).await,
                How::Edit | How::Rapid => self.edit(base, &case, &specs).await,
            };
            if let Err(why) = done {
                campaign.fail(&case, &why);
                self.good.remove(&case.base);
            }
        }
        for (base, (name, _)) in std::mem::take(&mut self.good) {
            let base = campaign.space.base(&base);
            if let Err(why) = self.delete(base, &name, &base.spec).await {
                let case = Case { base: base.name.into(), how: How::Edit, changes: vec![] };
                campaign.fail(&case, &why);
            }
        }
        self.operations
    }

    fn place(&self) -> &Place {
        &self.campaign.scenes[self.number % self.campaign.scenes.len()]
    }

    fn fresh(&mut self, base: &Base) -> String {
        self.made += 1;
        let name = format!("l{}-{}", self.number, self.made);
        if base.kind == "LoopbackBackend" { format!("{}-{name}", self.place().scene.name) } else { name }
    }

    /// Wrong from the start, then good, then deleted.
    async fn create(&mut self, base: &Base, case: &Case, spec: &Value) -> Result<(), String> {
        let name = self.fresh(base);
        let manifest = self.place().scene.manifest(base.kind, &name, spec.clone());
        let created = match self.post(base, &manifest).await {
            Ok(created) => created,
            Err(error) => return refusal(base.kind, &case.changes, &error),
        };
        self.settled(base, &name, &created).await?;
        let mut last = spec.clone();
        // what is refused here cannot be changed once it is set
        if let Ok(mended) = self.put(base, &name, &base.spec).await {
            self.ready(base, &name, &mended).await.map_err(|why| format!("then made good: {why}"))?;
            last = base.spec.clone();
        }
        self.delete(base, &name, &last).await
    }

    /// A good object gets the wrong specs and then the good one again.
    async fn edit(&mut self, base: &Base, case: &Case, specs: &[Value]) -> Result<(), String> {
        let (name, first) = self.good(base).await?;
        let mut taken = None;
        for spec in specs {
            match self.put(base, &name, spec).await {
                Ok(object) => taken = Some((object, spec)),
                Err(error) => refusal(base.kind, &case.changes, &error)?,
            }
        }
        let Some((object, spec)) = taken else { return Ok(()) };
        if case.how == How::Edit {
            self.settled(base, &name, &object).await?;
        }
        let Ok(back) = self.put(base, &name, &base.spec).await else {
            // set once for good: this object has served
            self.good.remove(base.name);
            return self.delete(base, &name, &spec.clone()).await;
        };
        let held = self.ready(base, &name, &back).await.map_err(|why| format!("back at the good spec: {why}"))?;
        if held == first {
            Ok(())
        } else {
            Err(format!("back at the good spec the backend holds {held}, at first {first}"))
        }
    }

    /// The lane's good object of a base.
    async fn good(&mut self, base: &Base) -> Result<(String, Value), String> {
        if let Some(good) = self.good.get(base.name) {
            return Ok(good.clone());
        }
        let name = self.fresh(base);
        let manifest = self.place().scene.manifest(base.kind, &name, base.spec.clone());
        let created = self.post(base, &manifest).await.map_err(|error| format!("the good spec: {error}"))?;
        let held = self.ready(base, &name, &created).await.map_err(|why| format!("the good spec: {why}"))?;
        self.good.insert(base.name.to_owned(), (name.clone(), held.clone()));
        Ok((name, held))
    }

    /// Waits until an object that was taken is Ready with the backend as it says, or says why not.
    async fn settled(&self, base: &Base, name: &str, object: &Value) -> Result<(), String> {
        match self.stands(base, name, object).await? {
            Standing::Waiting(reason, message) => words(base.kind, reason, &message),
            _ if object["spec"]["managementPolicy"] == "Observe" => Ok(()),
            _ => self.holds(base, name, object).await.map(drop),
        }
    }

    /// Waits until an object is Ready; what the backend holds then.
    async fn ready(&self, base: &Base, name: &str, object: &Value) -> Result<Value, String> {
        let mut last = Standing::Open;
        let reached = within(BOUND, async || {
            last = self.now(base, name, object);
            last == Standing::Ready
        });
        if !reached.await {
            return Err(format!("not Ready but {last:?}: {}", self.shown(base, name)));
        }
        self.holds(base, name, object).await
    }

    async fn stands(&self, base: &Base, name: &str, object: &Value) -> Result<Standing, String> {
        let mut last = Standing::Open;
        within(BOUND, async || {
            last = self.now(base, name, object);
            last != Standing::Open
        })
        .await;
        match last {
            Standing::Open => Err(format!("nothing settled is said: {}", self.shown(base, name))),
            Standing::Wrong(why) => Err(why),
            other => Ok(other),
        }
    }

    /// Where the object stands, if the view has its generation already.
    fn now(&self, base: &Base, name: &str, object: &Value) -> Standing {
        let seen = self.campaign.view.get(base.kind, self.namespace(base), name);
        let same = |seen: &Value| seen["metadata"]["generation"] == object["metadata"]["generation"];
        seen.filter(same).map_or(Standing::Open, |seen| standing(&seen))
    }

    fn shown(&self, base: &Base, name: &str) -> String {
        let seen = self.campaign.view.get(base.kind, self.namespace(base), name);
        seen.map_or_else(|| "it is not there".to_owned(), |seen| short(&seen["status"]["conditions"].to_string()))
    }

    fn namespace(&self, base: &Base) -> &str {
        if base.kind == "LoopbackBackend" { "" } else { &self.place().scene.name }
    }

    /// What the backend holds of an object, which must be what its spec says.
    async fn holds(&self, base: &Base, name: &str, object: &Value) -> Result<Value, String> {
        if base.collection.is_empty() {
            return Ok(Value::Null);
        }
        let found = self.held(base, &object["metadata"]["uid"]).await;
        let [held] = found.as_slice() else { return Err(format!("Ready, and the backend holds {found:?}")) };
        let (held, wanted) = (plain(&held["intent"]), intent(base.kind, name, &object["spec"]));
        if held == wanted { Ok(held) } else { Err(format!("Ready, the spec says {wanted}, the backend holds {held}")) }
    }

    async fn held(&self, base: &Base, uid: &Value) -> Vec<Value> {
        let (scene, uid) = (&self.place().scene, uid.as_str().unwrap_or_default());
        let collection = self.place().collection(base);
        let path = format!("/v3/projects/{}/{collection}?owner.uid={uid}", scene.name);
        let page = scene.wire().ask(Method::GET, &path, None, None).await;
        page["items"].as_array().cloned().unwrap_or_default()
    }

    /// Deletion ends, and with it what the backend holds.
    async fn delete(&mut self, base: &Base, name: &str, spec: &Value) -> Result<(), String> {
        let deleted = self.send("DELETE", &format!("{}/{name}", self.path(base)), String::new()).await;
        let deleted = deleted.map_err(|error| format!("it cannot be deleted: {error}"))?;
        let gone = async || self.campaign.view.get(base.kind, self.namespace(base), name).is_none();
        if !within(BOUND, gone).await {
            return Err(format!("its deletion does not end: {}", self.shown(base, name)));
        }
        let kept = spec["deletionPolicy"] == "Retain" || spec["managementPolicy"] == "Observe";
        if kept || base.collection.is_empty() {
            return Ok(());
        }
        let uid = deleted["metadata"]["uid"].as_str().or(deleted["details"]["uid"].as_str()).unwrap_or_default();
        let left = self.held(base, &json!(uid)).await;
        if left.is_empty() { Ok(()) } else { Err(format!("deleted, and the backend holds {left:?}")) }
    }

    fn path(&self, base: &Base) -> String {
        let scope = match self.namespace(base) {
            "" => String::new(),
            namespace => format!("/namespaces/{namespace}"),
        };
        format!("/apis/loopback.cloud/v1alpha1{scope}/{}", base.plural)
    }

    async fn post(&mut self, base: &Base, manifest: &Value) -> Result<Value, Error> {
        self.send("POST", &format!("{}?fieldValidation=Strict", self.path(base)), manifest.to_string()).await
    }

    /// Replaces the spec, whatever the operator writes meanwhile.
    async fn put(&mut self, base: &Base, name: &str, spec: &Value) -> Result<Value, Error> {
        let path = format!("{}/{name}", self.path(base));
        let spec = self.place().scene.manifest(base.kind, name, spec.clone())["spec"].clone();
        loop {
            let mut now = self.ask("GET", &path, String::new()).await?;
            now["spec"] = spec.clone();
            let answer = self.send("PUT", &format!("{path}?fieldValidation=Strict"), now.to_string()).await;
            if !matches!(&answer, Err(Error::Api(status)) if status.code == 409) {
                return answer;
            }
        }
    }

    async fn send(&mut self, method: &str, uri: &str, body: String) -> Result<Value, Error> {
        self.operations += 1;
        self.ask(method, uri, body).await
    }

    async fn ask(&self, method: &str, uri: &str, body: String) -> Result<Value, Error> {
        let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
        let request = request.body(body.into_bytes()).expect("a request");
        self.place().scene.client.request(request).await
    }
}
