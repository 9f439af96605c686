"""Fifty users at once, each from an address and over a connection of their own.

    users.py PORT

Ends with exit code 1 where a response is not what it should be.
"""

import http.client
import re
import sys
import urllib.parse
from http.cookies import SimpleCookie
from threading import Thread

PORT, USERS = int(sys.argv[1]), 50
wrong = []


class User:
    def __init__(self, number):
        self.name, self.password = f"user{number}", f"pw{number}"
        self.cookies = {}
        source = (f"127.0.1.{number + 1}", 0)
        self.connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60, source_address=source)

    def ask(self, method, target, expected, form=None):
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urllib.parse.urlencode(form)
        self.connection.request(method, target, body, headers)
        response = self.connection.getresponse()
        page = response.read().decode()
        for line in response.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == 0 or morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        if response.status != expected:
            wrong.append(f"{self.name}: {method} {target}: {response.status}")
        token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', page)
        return token and token.group(1)

    def run(self):
        token = self.ask("GET", "/login", 200)
        login = {"csrfmiddlewaretoken": token, "name": self.name, "password": self.password}
        self.ask("POST", "/login", 302, login)
        self.ask("GET", "/", 200)
        for number in range(4):
            self.ask("GET", f"/page/{self.name}/{number}", 200)
        token = self.ask("GET", "/note", 200)
        self.ask("POST", "/note", 302, {"csrfmiddlewaretoken": token, "text": f"by {self.name}"})
        self.ask("GET", "/notes", 200)
        self.ask("POST", "/note", 403, {"csrfmiddlewaretoken": "forged", "text": "x"})
        token = self.ask("GET", "/", 200)
        self.ask("POST", "/logout", 302, {"csrfmiddlewaretoken": token})
        self.ask("GET", "/notes", 302)
        self.connection.close()


threads = [Thread(target=User(number).run) for number in range(USERS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for line in wrong[:10]:
    print(line, file=sys.stderr)
sys.exit(1 if wrong else 0)
