module.exports = (shipit) => {
  require("shipit-deploy")(shipit);
  shipit.initConfig({
    default: {
      workspace: __dirname,
      keepWorkspace: true,
      shallowClone: false,
      branch: "HEAD",
      rsyncFrom: process.env.TREE,
      deployTo: process.env.DEPLOY_TO,
      keepReleases: Number(process.env.KEEP || 3),
    },
    bench: { servers: `${process.env.USER_THERE}@bench` },
  });
};
