"""Sensor logs: channels of different rates, units and quality, run by run."""

from sciode.data.logs.align import Aligned, align, align_run, ticks
from sciode.data.logs.channel import BITS, Channel, Clock, conversion
from sciode.data.logs.check import check_split, validate_log
from sciode.data.logs.clocks import ClockSpec
from sciode.data.logs.convert import convert_log
from sciode.data.logs.infer import Inferred, infer_log
from sciode.data.logs.read import Condition, LogRun, Samples, SensorLog, Signal
from sciode.data.logs.spec import LogSpec, RateSpec
from sciode.data.logs.write import LogWriter, RateWriter, RunWriter

__all__ = [
    "BITS",
    "Aligned",
    "Channel",
    "Clock",
    "ClockSpec",
    "Condition",
    "Inferred",
    "LogRun",
    "LogSpec",
    "LogWriter",
    "RateSpec",
    "RateWriter",
    "RunWriter",
    "Samples",
    "SensorLog",
    "Signal",
    "align",
    "align_run",
    "check_split",
    "conversion",
    "convert_log",
    "infer_log",
    "ticks",
    "validate_log",
]
