"""Mirrors: embedded copies of collections, made whole and kept up to date."""

from tsds_qdrant.mirror.mirror import mirror as mirror
from tsds_qdrant.mirror.settings import MirrorSettings as MirrorSettings
