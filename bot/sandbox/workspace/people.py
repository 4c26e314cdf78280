"""The sandbox's people, user groups and channels, with fixed ids in Slack's form."""

from dataclasses import dataclass

TEAM_ID = "T0SANDBOX1"
TEAM_DOMAIN = "sandbox"
APP_ID = "A0RAMPART1"
BOT_ID = "B0RAMPART1"
BOT_USER_ID = "U0RAMPART1"
SLACKBOT_ID = "USLACKBOT"
BOT_TOKEN = "xoxb-sandbox-0000000001"  # noqa: S105  (known to everyone: it opens nothing but this sandbox)
APP_TOKEN = "xapp-sandbox-0000000001"  # noqa: S105
SIGNING_SECRET = "sandbox-signing-secret"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPerson:
    """A member of the workspace; `handle` is the name after the @."""

    id: str
    handle: str
    name: str
    title: str
    is_bot: bool = False
    is_restricted: bool = False
    is_stranger: bool = False  # from another company, in a shared channel
    deleted: bool = False
    display_name: str = ""  # shown instead of the handle if set
    team: str = TEAM_ID
    zone: str = "Europe/Berlin"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserGroup:
    """A group that can be mentioned; `members` are user ids."""

    id: str
    handle: str
    name: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A public channel, or the app's direct message with one person (`is_im`).

    `members` are user ids; the bot may post where it is a member.
    """

    id: str
    name: str
    topic: str
    members: frozenset[str]
    is_im: bool = False


ANA = SandboxPerson(id="U0ANA00001", handle="ana", name="Ana", title="AI platform engineer")
DANA = SandboxPerson(id="U0DANA0001", handle="dana", name="Dana", title="AI engineer")
SAM = SandboxPerson(id="U0SAM00001", handle="sam", name="Sam", title="Support")
MIA = SandboxPerson(id="U0MIA00001", handle="mia", name="Mia", title="Marketing")
LEE = SandboxPerson(id="U0LEE00001", handle="lee", name="Lee", title="Lead")
GIL = SandboxPerson(id="U0GIL00001", handle="gil", name="Gil", title="Guest", is_restricted=True)
BOT = SandboxPerson(id=BOT_USER_ID, handle="rampart", name="Rampart", title="App", is_bot=True)
SLACKBOT = SandboxPerson(id=SLACKBOT_ID, handle="slackbot", name="Slackbot", title="App", is_bot=True)

PEOPLE = (ANA, DANA, SAM, MIA, LEE, GIL)

USER_GROUPS = (
    UserGroup(id="S0AIPLATF1", handle="ai-platform", name="AI platform", members=(ANA.id,)),
    UserGroup(id="S0AIENG001", handle="ai-eng", name="AI engineering", members=(ANA.id, DANA.id)),
    UserGroup(id="S0AILEADS1", handle="ai-leads", name="AI leads", members=(ANA.id, LEE.id)),
    UserGroup(id="S0SUPLEAD1", handle="support-leads", name="Support leads", members=(SAM.id, LEE.id)),
)

_MEMBERS = frozenset({ANA.id, DANA.id, SAM.id, MIA.id, LEE.id, BOT_USER_ID})

CHANNELS = (
    Channel(id="C0AIROLL01", name="ai-rollouts", topic="Every AI change, start to finish", members=_MEMBERS | {GIL.id}),
    Channel(id="C0SUPPORT1", name="support", topic="What customers notice", members=_MEMBERS | {GIL.id}),
    Channel(id="C0MARKET01", name="marketing", topic="What we may say", members=_MEMBERS),
    Channel(id="C0LEADERS1", name="leadership", topic="One line a week", members=_MEMBERS),
    Channel(id="C0INTEGR01", name="integrations-team", topic="What the API returns", members=_MEMBERS),
)
