"""``manage.py token``: API tokens of users."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.utils.timezone import localtime

from instances import tokens
from instances.console import NOT_FOUND, USAGE, ConsoleCommand, add_common, not_found
from instances.models import ApiToken


class Command(ConsoleCommand):
    help = "Add, list or remove API tokens. With one a program uses the API as a user."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        add = actions.add_parser(
            "add", help="make a token, and print it, and nothing else, on standard output: it is not shown again"
        )
        add.add_argument("user", help="whose it is: it may do what this user may do")
        add.add_argument("--name", required=True, help="what it is for; the log says it")
        duration = add.add_mutually_exclusive_group()
        duration.add_argument(
            "--days",
            type=int,
            default=tokens.DEFAULT_DAYS,
            help=f"how long it is valid, 1 to {tokens.MOST_DAYS} (default: {tokens.DEFAULT_DAYS})",
        )
        duration.add_argument("--for-ever", action="store_true", help="until it is removed")
        add_common(add)
        listing = actions.add_parser("list", help="list the tokens, the newest first")
        listing.add_argument("user", nargs="?", help="only of this one")
        add_common(listing)
        remove = actions.add_parser("remove", help="remove a token: whoever uses it is refused from then on")
        remove.add_argument("token", type=int, help="its number, as the list has it")
        add_common(remove)

    def do_add(self, user: str, name: str, days: int, for_ever: bool, **options: Any) -> None:
        owner = find_user(user)
        if not owner.is_active or not owner.is_staff:
            raise CommandError(f"{user} may not sign in, and would not with a token.", returncode=USAGE)
        valid_days = None if for_ever else days
        tokens.check_days(valid_days)
        token = ApiToken(user=owner, name=name)
        token.full_clean(exclude=["token_key"])
        secret = tokens.issue(token, valid_days)
        if options["json"]:
            self.print_json({**token_document(token), "token": secret})
        else:
            self.stdout.write(secret)
            until = f"until {day(token)}" if token.expiry else "until it is removed"
            self.stderr.write(f"Token {token.pk} of {owner} is valid {until}. It is not shown again.")

    def do_list(self, user: str | None, **options: Any) -> None:
        found = ApiToken.objects.select_related("user")
        if user is not None:
            found = found.filter(user=find_user(user))
        if options["json"]:
            self.print_json([token_document(token) for token in found])
        elif not found:
            self.stdout.write("There is no token. Make one: manage.py token add USER --name …")
        else:
            self.print_table(
                ("TOKEN", "NAME", "USER", "BEGINS WITH", "CREATED", "EXPIRES", "STATE"),
                (
                    (
                        str(token.pk),
                        token.name,
                        token.user.get_username(),
                        token.beginning,
                        f"{localtime(token.created):%Y-%m-%d}",
                        day(token),
                        str(token.state.label),
                    )
                    for token in found
                ),
            )

    def do_remove(self, token: int, **options: Any) -> None:
        found = ApiToken.objects.select_related("user").filter(pk=token).first()
        if found is None:
            raise CommandError(f"There is no token {token}. See: manage.py token list", returncode=NOT_FOUND)
        document = token_document(found)
        found.delete()
        if options["json"]:
            self.print_json(document)
        else:
            self.stdout.write(f"Token {token}, {found}, is removed.")


def find_user(name: str) -> Any:
    """Exits with NOT_FOUND."""
    users = get_user_model().objects.order_by("username")
    found = users.filter(username=name).first()
    if found is None:
        not_found("user", name, users.values_list("username", flat=True), "manage.py createsuperuser")
    return found


def day(token: ApiToken) -> str:
    return f"{localtime(token.expiry):%Y-%m-%d}" if token.expiry else "never"


def token_document(token: ApiToken) -> dict[str, Any]:
    """A token as the command prints it; reads ``user``."""
    return {
        "id": token.pk,
        "name": token.name,
        "user": token.user.get_username(),
        "begins_with": token.beginning,
        "created_at": token.created,
        "expires_at": token.expiry,
        "state": token.state,
    }
