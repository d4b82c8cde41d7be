"""How we introduce ourselves to hosts."""

from allrounder.params import Network

NAME = "imagenet-all-rounder"


def user_agent(network: Network) -> str:
    """The User-Agent header, with the contact from the params if there is one."""
    contact = f" (+{network.contact})" if network.contact else ""
    return f"{NAME}/1.0{contact}"
