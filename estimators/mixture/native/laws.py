"""Coordinates to Greeks, log priors and log Jacobians, and the gradients of all back, compiled.

Of each Greek [3, size] hold the value, its log and log(1 - value), but of a simplex the shares z of what is left of the
stick, and the logs of its weights. Gradients g [3, size] are with respect to these; of a scale, a rate or a weight with
respect to the log alone.
"""

from math import exp, expm1, inf, log, log1p, tanh
from typing import Any, NamedTuple

from estimators.estep.compiled.layout import LOG, LOG_REST, VALUE
from estimators.mechanisms.compiled.jit import EXACT, compiled
from estimators.mixture.native.sites import COORDINATE, COPIES, GREEK, LAW, LAW_AT, LENGTH, MAP, MAP_AT
from estimators.parameters.tabulated_priors import BETA, DIRICHLET, LKJ, LOG_NORMAL, NORMAL, POWER
from estimators.parameters.transforms import CONTRASTS, CORRELATION, INTERVAL, LINE, POSITIVE, REAL, SIMPLEX, UNIT

# Where the exponent of a positive number is held.
FARTHEST = 705.0
LOG_2 = log(2.0)


class Laws(NamedTuple):
    """Of the tables, those of Greeks: handing all over at every call costs as much as rows do."""

    sites: Any
    numbers: Any
    known: Any
    copies: Any


@compiled(**EXACT)
def laws_of(tables: Any) -> Any:
    """The tables of Greeks."""
    return Laws(tables.sites, tables.laws, tables.known, tables.copies)


@compiled(**EXACT)
def constrain(v: Any, laws: Any, greeks: Any) -> None:
    """Fill in the Greeks [3, size] at coordinates [D]."""
    numbers = laws.numbers
    for i in range(3):
        for j in range(laws.known.shape[1]):
            greeks[i, j] = laws.known[i, j]
    for s in range(len(laws.sites)):
        site = laws.sites[s]
        count, length, at, to, a = site[COPIES], site[LENGTH], site[COORDINATE], site[GREEK], site[MAP_AT]
        if site[MAP] == REAL:
            for j in range(count):
                greeks[VALUE, to + j] = numbers[a + j] + numbers[a + count + j] * v[at + j]
        elif site[MAP] == POSITIVE:
            for j in range(count):
                held = min(max(v[at + j], -FARTHEST), FARTHEST)
                greeks[VALUE, to + j] = numbers[a + j] * exp(held)
                greeks[LOG, to + j] = numbers[a + count + j] + held
        elif site[MAP] == UNIT:
            for j in range(count):
                p, log_p, log_rest = _logistic(v[at + j])
                greeks[VALUE, to + j], greeks[LOG, to + j], greeks[LOG_REST, to + j] = p, log_p, log_rest
        elif site[MAP] == SIMPLEX:
            for _ in range(count):
                rest = 0.0
                for left in range(length - 1, 0, -1):
                    z, log_z, log_other = _logistic(v[at] - log(left))
                    greeks[VALUE, to], greeks[LOG, to] = z, rest + log_z
                    rest += log_other
                    at, to = at + 1, to + 1
                greeks[VALUE, to], greeks[LOG, to] = 1.0, rest
                to += 1
        elif site[MAP] == INTERVAL:
            _within(v, at, count, numbers[a : a + 5 * count], to, greeks)
        elif site[MAP] == LINE:
            for j in range(count):
                for p in range(length):
                    value = numbers[a + p]
                    for q in range(length):
                        value += numbers[a + length + p * length + q] * v[at + j * length + q]
                    greeks[VALUE, to + j * length + p] = value
        elif site[MAP] == CONTRASTS:
            width = int(numbers[a])
            for p in range(length):
                value = 0.0
                for q in range(width):
                    value += numbers[a + 1 + p * width + q] * v[at + q]
                greeks[VALUE, to + p] = value
        else:
            for _ in range(count):
                at = _unit_rows(v, at, length, to, greeks)
                to += length * length
    for copy in laws.copies:
        for i in range(3):
            greeks[i, copy[0]] = greeks[i, copy[1]]


@compiled(**EXACT)
def _logistic(v: Any) -> Any:
    """p = 1 / (1 + e^-v), log p and log(1 - p), with all their digits."""
    small = exp(-abs(v))
    both = log1p(small)
    if v > 0:
        return 1.0 / (1.0 + small), -both, -v - both
    return small / (1.0 + small), v - both, -both


@compiled(**EXACT)
def _within(v: Any, at: int, count: int, numbers: Any, to: int, greeks: Any) -> None:
    """Numbers between two ends, from the middle or from the nearer end, whichever has more digits, and their logs."""
    for j in range(count):
        low, high, middle = numbers[j], numbers[count + j], numbers[2 * count + j]
        move = numbers[3 * count + j] * v[at + j]
        p, _, _ = _logistic(numbers[4 * count + j] + move)
        rest, _, _ = _logistic(-numbers[4 * count + j] - move)
        if abs(move) < 1.0:
            x = middle - (high - middle) * p * expm1(-move)
        elif p < rest:
            x = low + (high - low) * p
        else:
            x = high - (high - low) * rest
        greeks[VALUE, to + j] = x
        greeks[LOG, to + j] = log(x) if x > 0 else -inf
        greeks[LOG_REST, to + j] = log1p(-x) if x < 1 else -inf


@compiled(**EXACT)
def _log_sech(v: Any) -> Any:
    """-log cosh v."""
    return LOG_2 - abs(v) - log1p(exp(-2.0 * abs(v)))


@compiled(**EXACT)
def _unit_rows(v: Any, at: int, D: int, to: int, greeks: Any) -> Any:
    """The lower factor of a correlation matrix, row by row, and the logs of its diagonal."""
    for i in range(D):
        left, log_left = 1.0, 0.0
        for j in range(i):
            held = min(max(v[at], -FARTHEST), FARTHEST)
            greeks[VALUE, to + i * D + j] = tanh(held) * left
            log_sech = _log_sech(held)
            left *= exp(log_sech)
            log_left += log_sech
            at += 1
        greeks[VALUE, to + i * D + i], greeks[LOG, to + i * D + i] = left, log_left
        for j in range(i + 1, D):
            greeks[VALUE, to + i * D + j] = 0.0
    return at


@compiled(**EXACT)
def add_log_prior(laws: Any, greeks: Any, g: Any) -> Any:
    """The log prior but for its constants; its gradient is added to g."""
    numbers, value = laws.numbers, 0.0
    for s in range(len(laws.sites)):
        site = laws.sites[s]
        to, a, length = site[GREEK], site[LAW_AT], site[LENGTH]
        size = site[COPIES] * (length if site[MAP] != CORRELATION else 1)
        if site[LAW] == NORMAL:
            for j in range(size):
                below = numbers[a + j] - greeks[VALUE, to + j]
                slope = numbers[a + size + j] * below
                value -= 0.5 * slope * below
                g[VALUE, to + j] += slope
        elif site[LAW] == LOG_NORMAL:
            for j in range(size):
                below = numbers[a + j] - greeks[LOG, to + j]
                slope = numbers[a + size + j] * below
                value -= 0.5 * slope * below + greeks[LOG, to + j]
                g[LOG, to + j] += slope - 1.0
        elif site[LAW] == POWER:
            for j in range(size):
                power, rate, precision = numbers[a + j], numbers[a + size + j], numbers[a + 2 * size + j]
                x = greeks[VALUE, to + j]
                value += power * greeks[LOG, to + j] - (rate + 0.5 * precision * x) * x
                g[LOG, to + j] += power - (rate + precision * x) * x
        elif site[LAW] == BETA:
            for j in range(size):
                value += numbers[a + j] * greeks[LOG, to + j] + numbers[a + size + j] * greeks[LOG_REST, to + j]
                g[LOG, to + j] += numbers[a + j]
                g[LOG_REST, to + j] += numbers[a + size + j]
        elif site[LAW] == DIRICHLET:
            for j in range(size):
                value += numbers[a + j] * greeks[LOG, to + j]
                g[LOG, to + j] += numbers[a + j]
        elif site[LAW] == LKJ:
            for j in range(size):
                for i in range(1, length):
                    place, order = to + (j * length + i) * length + i, numbers[a + j * length + i]
                    value += order * greeks[LOG, place]
                    g[LOG, place] += order
    return value


@compiled(**EXACT)
def add_log_jacobian(v: Any, laws: Any, greeks: Any, gradient: Any) -> Any:
    """log |dφ/dv| but for its constants; its gradient is added."""
    numbers, value = laws.numbers, 0.0
    for s in range(len(laws.sites)):
        site = laws.sites[s]
        count, length, at, to, a = site[COPIES], site[LENGTH], site[COORDINATE], site[GREEK], site[MAP_AT]
        if site[MAP] == POSITIVE:
            for j in range(count):
                value += greeks[LOG, to + j]
                gradient[at + j] += 1.0
        elif site[MAP] == UNIT:
            for j in range(count):
                value += greeks[LOG, to + j] + greeks[LOG_REST, to + j]
                gradient[at + j] += 1.0 - 2.0 * greeks[VALUE, to + j]
        elif site[MAP] == INTERVAL:
            for j in range(count):
                logit, pace = numbers[a + 4 * count + j], numbers[a + 3 * count + j]
                p, log_p, log_rest = _logistic(logit + pace * v[at + j])
                value += log_p + log_rest
                gradient[at + j] += pace * (1.0 - 2.0 * p)
        elif site[MAP] == SIMPLEX:
            for _ in range(count):
                for left in range(length, 0, -1):
                    value += greeks[LOG, to]
                    if left > 1:
                        gradient[at] += 1.0 - greeks[VALUE, to] * left
                        at += 1
                    to += 1
        elif site[MAP] == CORRELATION:
            for _ in range(count):
                for i in range(length):
                    for j in range(i):
                        times = i - j + 1.0
                        value += times * _log_sech(min(max(v[at], -FARTHEST), FARTHEST))
                        gradient[at] -= times * tanh(v[at])
                        at += 1
    return value


@compiled(**EXACT)
def pull_back(v: Any, laws: Any, greeks: Any, g: Any, gradient: Any) -> None:
    """Add the gradient with respect to v of what has the gradient g with respect to the Greeks."""
    numbers = laws.numbers
    for s in range(len(laws.sites)):
        site = laws.sites[s]
        count, length, at, to, a = site[COPIES], site[LENGTH], site[COORDINATE], site[GREEK], site[MAP_AT]
        if site[MAP] == REAL:
            for j in range(count):
                gradient[at + j] += g[VALUE, to + j] * numbers[a + count + j]
        elif site[MAP] == POSITIVE:
            for j in range(count):
                gradient[at + j] += g[LOG, to + j]
        elif site[MAP] == UNIT:
            for j in range(count):
                p = greeks[VALUE, to + j]
                gradient[at + j] += g[LOG, to + j] * (1.0 - p) - g[LOG_REST, to + j] * p
        elif site[MAP] == INTERVAL:
            for j in range(count):
                x, logit, pace = greeks[VALUE, to + j], numbers[a + 4 * count + j], numbers[a + 3 * count + j]
                p, _, _ = _logistic(logit + pace * v[at + j])
                rest, _, _ = _logistic(-logit - pace * v[at + j])
                slope = g[VALUE, to + j]
                # Of a location the slopes of the logs are 0, and the logs may be of negative numbers.
                if g[LOG, to + j] != 0.0:
                    slope += g[LOG, to + j] / x
                if g[LOG_REST, to + j] != 0.0:
                    slope -= g[LOG_REST, to + j] / (1.0 - x)
                gradient[at + j] += slope * pace * (numbers[a + count + j] - numbers[a + j]) * p * rest
        elif site[MAP] == SIMPLEX:
            for _ in range(count):
                tail = g[LOG, to + length - 1]
                for j in range(length - 2, -1, -1):
                    tail += g[LOG, to + j]
                    gradient[at + j] += g[LOG, to + j] - greeks[VALUE, to + j] * tail
                at, to = at + length - 1, to + length
        elif site[MAP] == LINE:
            of_columns = a + length + length * length
            for j in range(count):
                for q in range(length):
                    value = 0.0
                    for p in range(length):
                        share = numbers[of_columns + p * length + q]
                        value += share * g[LOG, to + j * length + p] if share != 0.0 else 0.0
                        value += numbers[a + length + p * length + q] * g[VALUE, to + j * length + p]
                    gradient[at + j * length + q] += value
        elif site[MAP] == CONTRASTS:
            width = int(numbers[a])
            for p in range(length):
                for q in range(width):
                    gradient[at + q] += numbers[a + 1 + p * width + q] * g[VALUE, to + p]
        else:
            for _ in range(count):
                for i in range(length):
                    _of_unit_row(v, at, i, greeks, g, to + i * length, gradient)
                    at += i
                to += length * length


@compiled(**EXACT)
def _of_unit_row(v: Any, at: int, i: int, greeks: Any, g: Any, to: int, gradient: Any) -> None:
    """With y_j = t_j s_j and s_{j+1} = s_j sech v_j: dy_j/dv_j = s_{j+1} sech v_j, dy_m/dv_j = -t_j y_m for m > j."""
    after = g[VALUE, to + i] * greeks[VALUE, to + i] + g[LOG, to + i]
    log_left = greeks[LOG, to + i]
    for j in range(i - 1, -1, -1):
        held = min(max(v[at + j], -FARTHEST), FARTHEST)
        log_sech, t = _log_sech(held), tanh(held)
        gradient[at + j] += g[VALUE, to + j] * exp(log_left + log_sech) - t * after
        after += g[VALUE, to + j] * greeks[VALUE, to + j]
        log_left -= log_sech
