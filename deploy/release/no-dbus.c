/*
 * libpcap can capture on D-Bus. A program that is linked statically would need libdbus and libsystemd for that, of which
 * Debian has no static libraries. These take the place of libdbus: there is no bus, which is an error to whoever asks.
 */
#include <stddef.h>

/* As libdbus has it, as far as libpcap reads it. */
struct bus_error {
	const char *name;
	const char *message;
};

void *dbus_bus_get(int type, struct bus_error *error)
{
	(void)type;
	error->message = "this program has no D-Bus";
	return NULL;
}

void *dbus_connection_open(const char *address, struct bus_error *error)
{
	(void)address;
	return dbus_bus_get(0, error);
}

/* None of these is reached without a bus. */
#define NOTHING(name) int name(void) { return 0; }
NOTHING(dbus_bus_add_match)
NOTHING(dbus_bus_register)
NOTHING(dbus_connection_flush)
NOTHING(dbus_connection_read_write)
NOTHING(dbus_connection_send)
NOTHING(dbus_connection_set_max_received_size)
NOTHING(dbus_connection_unref)
NOTHING(dbus_error_free)
NOTHING(dbus_error_is_set)
NOTHING(dbus_free)
NOTHING(dbus_message_is_signal)
NOTHING(dbus_message_marshal)
NOTHING(dbus_message_unref)

void *dbus_connection_pop_message(void)
{
	return NULL;
}

void *dbus_message_demarshal(void)
{
	return NULL;
}
