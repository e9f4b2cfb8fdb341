/* main_entrypoint.h - c3fs entrypoint SERVICE, what a container runs. */
#pragma once

int entrypoint_main(int argc, char *const *argv);
