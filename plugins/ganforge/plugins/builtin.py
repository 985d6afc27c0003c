"""The built-in plugins by entry-point name: the same list as pyproject.toml's, for a source tree not installed."""

BUILTIN = {
    "vanilla": "ganforge.plugins.papers.vanilla",
    "dcgan": "ganforge.plugins.papers.dcgan",
    "lsgan": "ganforge.plugins.papers.lsgan",
    "wgan": "ganforge.plugins.papers.wgan",
    "wgan-gp": "ganforge.plugins.papers.wgan_gp",
    "sngan": "ganforge.plugins.papers.sngan",
    "instance-noise": "ganforge.plugins.tricks.instance_noise",
    "zero-centred-penalty": "ganforge.plugins.tricks.zero_centred_penalty",
    "digits": "ganforge.plugins.datasets.digits",
    "mixtures": "ganforge.plugins.datasets.mixtures",
    "torchvision": "ganforge.plugins.datasets.torchvision_sets",
    "folder": "ganforge.plugins.datasets.folder",
    "modes": "ganforge.plugins.metrics.modes",
    "report": "ganforge.plugins.observers.report",
    "gif": "ganforge.plugins.observers.gif",
    "tensorboard": "ganforge.plugins.observers.tensorboard",
    "alarms": "ganforge.plugins.observers.alarms",
}
