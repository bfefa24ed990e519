//! The users of a town: they create, edit, annotate, pause, delete and make again, each clan in turn, and know in the end what
//! they want.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    families::{Clan, FAMILY, Member, VARIANTS, family},
    town::{Town, USERS},
};

/// How long a user tries to be heard.
const STUBBORN: Duration = Duration::from_secs(120);
/// How many users there are.
const USERS_AT_ONCE: usize = 4;

/// What a user wants of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// Which spec.
    pub variant: u64,
    note: u64,
    paused: bool,
}

/// All users.
pub struct Users {
    crowd: Vec<User>,
}

struct User {
    random: StdRng,
    clans: Vec<(Clan, Vec<Option<Wish>>)>,
    /// What was told to a namesake that is on its way out.
    unheard: BTreeSet<(usize, usize)>,
    /// What they did, and how often.
    deeds: BTreeMap<&'static str, u64>,
}

impl Users {
    /// Users of about this many objects, of which each is wanted at first.
    pub fn new(seed: u64, objects: usize) -> Self {
        let mut crowd: Vec<User> = (0..USERS_AT_ONCE as u64).map(|number| User::new(seed ^ (number << 32))).collect();
        for number in 0..objects.div_ceil(FAMILY) {
            crowd[number % USERS_AT_ONCE].clans.extend(family(number).into_iter().map(|clan| {
                let wishes = clan.iter().map(|_| Some(Wish::default())).collect();
                (clan, wishes)
            }));
        }
        Self { crowd }
    }

    /// Creates all that is wanted and is not there.
    pub async fn begin(&mut self, town: &Town) {
        join_all(self.crowd.iter_mut().map(async |user| user.say_all(town).await)).await;
    }

    /// Is busy until `stop`; a user rests up to `pause` between deeds.
    pub async fn work(&mut self, town: &Town, pause: Duration, stop: &CancellationToken) {
        join_all(self.crowd.iter_mut().map(async |user| {
            while !stop.is_cancelled() {
                user.act(town).await;
                let rest = user.random.random_range(Duration::ZERO..=pause);
                sleep(rest).await;
            }
        }))
        .await;
    }

    /// Of three clans each the first is left alone, the second is edited, the third is deleted. Whom they leave alone.
    pub async fn part(&mut self, town: &Town) -> Vec<String> {
        let mut alone = Vec::new();
        for user in &mut self.crowd {
            for clan in 0..user.clans.len() {
                match clan % 3 {
                    0 => alone.extend(user.wanted(clan)),
                    1 => {
                        user.change(town, clan, 0, "edit", |wish, _| wish.variant = (wish.variant + 1) % VARIANTS).await
                    }
                    _ => user.remove_all(town, clan, 0).await,
                }
            }
        }
        alone
    }

    /// Nothing is paused any more, and what was not heard is said again until it is.
    pub async fn finish(&mut self, town: &Town) {
        join_all(self.crowd.iter_mut().map(async |user| user.finish(town).await)).await;
    }

    /// What is wanted.
    pub fn wishes(&self) -> impl Iterator<Item = (&Member, &Wish)> {
        let clans = self.crowd.iter().flat_map(|user| &user.clans);
        clans
            .flat_map(|(clan, wishes)| clan.iter().zip(wishes))
            .filter_map(|(member, wish)| Some((member, wish.as_ref()?)))
    }

    /// All that they may want.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.crowd.iter().flat_map(|user| &user.clans).flat_map(|(clan, _)| clan)
    }

    /// What was done, and how often.
    pub fn deeds(&self) -> BTreeMap<&'static str, u64> {
        let mut all = BTreeMap::new();
        for (deed, count) in self.crowd.iter().flat_map(|user| &user.deeds) {
            *all.entry(*deed).or_default() += count;
        }
        all
    }
}

impl User {
    fn new(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { random, clans: Vec::new(), unheard: BTreeSet::new(), deeds: BTreeMap::new() }
    }

    fn did(&mut self, deed: &'static str) {
        *self.deeds.entry(deed).or_default() += 1;
    }

    /// Names of what is wanted of a clan.
    fn wanted(&self, clan: usize) -> Vec<String> {
        let (about, wishes) = &self.clans[clan];
        let wanted = about.iter().zip(wishes).filter(|(_, wish)| wish.is_some());
        wanted.map(|(member, _)| member.name.clone()).collect()
    }

    async fn act(&mut self, town: &Town) {
        self.repeat(town).await;
        let clan = self.random.random_range(0..self.clans.len());
        let member = self.random.random_range(0..self.clans[clan].0.len());
        let there = self.clans[clan].1[member].is_some();
        match self.random.random_range(0..20) {
            _ if !there => self.create(town, clan, member).await,
            0..9 => self.change(town, clan, member, "edit", |wish, draw| wish.variant = draw % VARIANTS).await,
            9 | 10 => self.change(town, clan, member, "annotate", |wish, draw| wish.note = draw).await,
            11 => self.change(town, clan, member, "pause", |wish, _| wish.paused = !wish.paused).await,
            12 | 13 if member > 0 => self.remove(town, clan, member).await,
            14 | 15 => {
                self.remove_all(town, clan, member).await;
                self.did("again");
                self.create(town, clan, member).await;
            }
            16 => self.lose_secret(town, clan, member).await,
            _ => self.remove_all(town, clan, 0).await,
        }
    }

    /// With its root, without which it cannot be.
    async fn create(&mut self, town: &Town, clan: usize, member: usize) {
        for one in [0, member] {
            if self.clans[clan].1[one].is_none() {
                let variant = self.random.random_range(0..VARIANTS);
                self.clans[clan].1[one] = Some(Wish { variant, ..Wish::default() });
                self.did("create");
            }
            self.say(town, clan, one).await;
        }
    }

    async fn change(
        &mut self,
        town: &Town,
        clan: usize,
        member: usize,
        deed: &'static str,
        how: impl FnOnce(&mut Wish, u64),
    ) {
        let draw = self.random.random();
        if let Some(wish) = self.clans[clan].1[member].as_mut() {
            how(wish, draw);
        }
        self.did(deed);
        self.say(town, clan, member).await;
    }

    async fn remove(&mut self, town: &Town, clan: usize, member: usize) {
        if self.clans[clan].1[member].take().is_some() {
            self.did("delete");
        }
        self.unheard.remove(&(clan, member));
        let member = &self.clans[clan].0[member];
        stubborn(&member.name, async || delete(town, member).await).await;
    }

    /// A child alone; a root with its children, in any order.
    async fn remove_all(&mut self, town: &Town, clan: usize, member: usize) {
        let mut order: Vec<usize> = if member == 0 { (0..self.clans[clan].0.len()).collect() } else { vec![member] };
        order.shuffle(&mut self.random);
        for one in order {
            self.remove(town, clan, one).await;
        }
    }

    async fn lose_secret(&mut self, town: &Town, clan: usize, member: usize) {
        let member = self.clans[clan].0[member].clone();
        if member.kind == "ObjectBucketCredential" {
            self.did("lose a Secret");
            let api = Api::<Secret>::namespaced(town.client.clone(), town.name);
            stubborn(&member.name, async || gone_is_fine(api.delete(&member.name, &DeleteParams::default()).await))
                .await;
        }
    }

    /// Says what is wanted of an object. What is on its way out does not hear it.
    async fn say(&mut self, town: &Town, clan: usize, member: usize) {
        let (about, wishes) = &self.clans[clan];
        let Some(wish) = &wishes[member] else { return };
        let manifest = manifest(town, &about[member], wish);
        let name = &about[member].name;
        let heard = stubborn(name, async || {
            let parameters = PatchParams::apply(USERS).force();
            town.api(about[member].kind).patch(name, &parameters, &Patch::Apply(&manifest)).await
        })
        .await;
        if heard.metadata.deletion_timestamp.is_some() {
            self.unheard.insert((clan, member));
        } else {
            self.unheard.remove(&(clan, member));
        }
    }

    async fn repeat(&mut self, town: &Town) {
        for (clan, member) in self.unheard.clone() {
            self.say(town, clan, member).await;
        }
    }

    async fn say_all(&mut self, town: &Town) {
        for clan in 0..self.clans.len() {
            for member in 0..self.clans[clan].0.len() {
                self.say(town, clan, member).await;
            }
        }
    }

    async fn finish(&mut self, town: &Town) {
        for wish in self.clans.iter_mut().flat_map(|(_, wishes)| wishes).flatten() {
            wish.paused = false;
        }
        self.say_all(town).await;
        let end = Instant::now() + STUBBORN;
        while !self.unheard.is_empty() {
            let about = self.unheard.iter().map(|(clan, member)| &self.clans[*clan].0[*member].name);
            let about: Vec<_> = about.collect();
            assert!(Instant::now() < end, "not deleted within {STUBBORN:?}: {about:?}\n{}", town.story(about[0]));
            sleep(Duration::from_millis(200)).await;
            self.repeat(town).await;
        }
    }
}

fn manifest(town: &Town, member: &Member, wish: &Wish) -> Value {
    let mut annotations = json!({"example.com/note": wish.note.to_string()});
    if wish.paused {
        annotations["loopback.cloud/paused"] = json!("true");
    }
    json!({"apiVersion": "loopback.cloud/v1alpha1", "kind": member.kind, "spec": member.spec(town.name, wish.variant),
        "metadata": {"name": member.name, "namespace": town.name, "annotations": annotations}})
}

async fn delete(town: &Town, member: &Member) -> kube::Result<()> {
    gone_is_fine(town.api(member.kind).delete(&member.name, &DeleteParams::default()).await)
}

fn gone_is_fine<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        answer => answer.map(drop),
    }
}

/// Asks until there is an answer: the API server may be away.
async fn stubborn<T>(about: &str, ask: impl AsyncFn() -> kube::Result<T>) -> T {
    let end = Instant::now() + STUBBORN;
    loop {
        let error = match tokio::time::timeout(Duration::from_secs(10), ask()).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) => error.to_string(),
            Err(slow) => slow.to_string(),
        };
        assert!(Instant::now() < end, "{about}: not within {STUBBORN:?}: {error}");
        sleep(Duration::from_millis(100)).await;
    }
}
