"""A small application of Django: users log in, look at pages, post notes with a CSRF token, and log out.

    site.py FOLDER KEY

Its users are always the same; its sessions, and the key that signs with, are its own. Prints its port.
"""

import sys
from pathlib import Path
from socketserver import ThreadingMixIn

import django
from django.conf import settings

folder, key = Path(sys.argv[1]), sys.argv[2]
settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": folder / "site.db",
            "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"},
        }
    },
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    # Logins are many, and their passwords nobody's.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    LOGIN_URL="/login",
    ROOT_URLCONF=__name__,
    SECRET_KEY=key,
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    USE_TZ=True,
)
django.setup()

from django.contrib.auth import authenticate, login, logout  # noqa: E402
from django.contrib.auth.decorators import login_required  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import WSGIRequestHandler, WSGIServer  # noqa: E402
from django.http import HttpResponse, HttpResponseForbidden, HttpResponseRedirect  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import path  # noqa: E402

USERS = 50
FORM = """<!doctype html><title>{{ title }}</title><form method="post" action="{{ action }}">
{% csrf_token %}
{% for field in fields %}<input name="{{ field }}">{% endfor %}<button>Go</button></form>
"""


def form(request, title, fields=(), action=""):
    context = {"title": title, "fields": fields, "action": action}
    return HttpResponse(engines["django"].from_string(FORM).render(context, request))


def log_in(request):
    if request.method != "POST":
        return form(request, "Log in", ["name", "password"])
    user = authenticate(request, username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponseForbidden("no such user")
    login(request, user)
    return HttpResponseRedirect("/")


@login_required
def home(request):
    return form(request, f"Hello {request.user.username}", action="/logout")


@login_required
def page(request, name, number):
    if request.user.username != name:
        return HttpResponseForbidden("of somebody else")
    return HttpResponse(f"page {number} of {name}")


@login_required
def note(request):
    if request.method != "POST":
        return form(request, "Note", ["text"])
    request.session["notes"] = [*request.session.get("notes", []), request.POST["text"]]
    return HttpResponseRedirect("/notes")


@login_required
def notes(request):
    kept = request.session.get("notes", [])
    return HttpResponse("\n".join(kept), status=200 if kept else 404)


def log_out(request):
    if request.method != "POST":
        return HttpResponse(status=405)
    logout(request)
    return HttpResponseRedirect("/login")


urlpatterns = [
    path("login", log_in),
    path("", home),
    path("page/<str:name>/<int:number>", page),
    path("note", note),
    path("notes", notes),
    path("logout", log_out),
]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 256


class Handler(WSGIRequestHandler):
    def log_message(self, *_):
        pass


call_command("migrate", verbosity=0)
User.objects.bulk_create(
    [User(username=f"user{n}", password=f"md5$salt${__import__('hashlib').md5(f'saltpw{n}'.encode()).hexdigest()}") for n in range(USERS)]
)
server = Server(("127.0.0.1", 0), Handler)
server.set_app(WSGIHandler())
print(server.server_address[1], flush=True)
server.serve_forever()
