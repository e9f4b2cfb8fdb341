/* main_doctor.h - c3fs doctor and c3fs devices. */
#pragma once

int doctor_main(int argc, char *const *argv);
int devices_main(int argc, char *const *argv);
