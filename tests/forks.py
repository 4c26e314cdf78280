"""Where the processes of tests are forked from one that has loaded the whole program and done nothing yet."""

import multiprocessing

_LOADED = ("tests.journey.forked", "tests.trials.faults.newborn", "tests.trials.faults.laborer", "tests.warm")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(list(_LOADED))
