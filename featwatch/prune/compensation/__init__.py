"""What removed units gave, made up for by those that stay."""

from featwatch.prune.compensation.compensating import Compensation, compensated

__all__ = ["Compensation", "compensated"]
