"""An OpenFeature provider that evaluates in process. Needs the extra `openfeature`."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import (
    FlagNotFoundError,
    GeneralError,
    ProviderNotReadyError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata
from openfeature.track import TrackingEventDetails

from rampart_client.client import RampartClient
from rampart_client.evaluation import Evaluation, NoSnapshot, UnknownSurface


class RampartProvider(AbstractProvider):
    """Serves the versions of surfaces as object flags, as Rampart's own OFREP answers do."""

    def __init__(self, client: RampartClient) -> None:
        """`client` is started with this provider and closed with it."""
        super().__init__()
        self._client = client

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        self._client.on_change(lambda: self.emit_provider_configuration_changed(ProviderEventDetails()))
        self._client.on_stale(
            lambda: self.emit_provider_stale(ProviderEventDetails(message="Rampart does not answer."))
        )
        if not self._client.start():
            raise GeneralError("Rampart has not answered yet; live versions that were kept on disk are served.")

    def shutdown(self) -> None:
        self._client.close()

    def get_metadata(self) -> Metadata:
        return Metadata(name="Rampart")

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        found = self._evaluate(flag_key, evaluation_context)
        return FlagResolutionDetails(
            value=found.value, variant=found.variant, reason=Reason(found.reason), flag_metadata=_describe(found)
        )

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        self._refuse_type(flag_key, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        self._refuse_type(flag_key, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        self._refuse_type(flag_key, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        self._refuse_type(flag_key, evaluation_context)

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Report an observation: the event is named after the surface, and its attributes are metrics. Pass the flag
        metadata `exposure` of the evaluation as another attribute. Without a targeting key nothing is reported."""
        if evaluation_context is None or not evaluation_context.targeting_key or tracking_event_details is None:
            return
        attributes = dict(tracking_event_details.attributes)
        exposure = attributes.pop("exposure", None)
        observation: dict[str, Any] = {
            "surface": tracking_event_name,
            "unit": evaluation_context.targeting_key,
            "metrics": {name: value for name, value in attributes.items() if isinstance(value, bool | int | float)},
        }
        if isinstance(exposure, str) and exposure:
            observation["exposure"] = exposure
        else:
            observation["variant"] = self._evaluate(tracking_event_name, evaluation_context).variant
        self._client.send_observation(observation)

    def _evaluate(self, surface: str, context: EvaluationContext | None) -> Evaluation:
        context = context or EvaluationContext()
        try:
            return self._client.evaluate(surface, context.targeting_key, context.attributes)
        except UnknownSurface as error:
            raise FlagNotFoundError(str(error)) from error
        except NoSnapshot as error:
            raise ProviderNotReadyError(str(error)) from error

    def _refuse_type(self, surface: str, context: EvaluationContext | None) -> NoReturn:
        self._evaluate(surface, context)
        raise TypeMismatchError(f'"{surface}" is an object: the content of a version.')


def _describe(found: Evaluation) -> dict[str, bool | int | float | str]:
    """The same metadata as in OFREP."""
    metadata: dict[str, bool | int | float | str] = {
        "rollout": found.rollout,
        "version": found.version,
        "cohort": found.cohort,
        "stage": found.stage,
    }
    if found.exposure:
        metadata["exposure"] = found.exposure
    if found.stratum:
        metadata["stratum"] = found.stratum
    metadata["conversation"] = found.conversation
    return metadata
